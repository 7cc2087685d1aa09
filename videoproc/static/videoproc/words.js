// The page's words and figures: states, events, errors and warnings as sentences, times and sizes as people read them.

export const STATES = {
  uploading: "Uploading", queued: "Waiting", probing: "Looking at it", enhancing: "Enhancing", joining: "Joining",
  publishing: "Finishing", ready: "Ready", failed: "Failed", cancelled: "Cancelled",
};

export const AT_WORK = {
  queued: "Waiting for its turn", probing: "Reading the file and measuring the picture", enhancing: "Enhancing",
  joining: "Putting picture and sound together", publishing: "Making the stills",
};

const EVENTS = {
  accepted: "Accepted", probing_started: "Work began", metadata_extracted: "Metadata read", diagnosed: "Picture measured",
  planned: "Plan made", segment_enhanced: "Segment enhanced", joining_started: "All segments enhanced",
  joined: "Picture and sound joined", stills_made: "Stills made", published: "Ready", failed: "Failed",
  cancelled: "Cancelled", step_failed: "A step failed and is tried again", step_lost: "A worker was lost; its step runs again",
  step_handed_back: "A step waits to be continued", segment_damaged: "A segment was damaged; it runs again",
  output_lost: "A file was lost; it is made again", times_doubted: "The times were not as expected; planned again",
  paused: "Paused", resumed: "Resumed", prioritised: "Moved in the queue", retried: "Taken up again",
};

const ERRORS = {
  empty_file: "The file is empty.",
  unsupported_container: "This is no video file that can be read here, whatever its name says.",
  unsupported_codec: "The video is encrypted, or in a format or colours that cannot be read here.",
  no_video_stream: "There is no moving picture in this file.",
  foreign_reference: "This file only refers to other files. Please send the video itself.",
  truncated: "The file breaks off before its first picture. It may not have been copied whole.",
  damaged: "The file is too damaged to be read.",
  resource_pixels: "The picture is larger than a video may be here.",
  resource_streams: "The file has more streams than a video may have here.",
  resource_packets: "The file has more packets than a video may have here.",
  resource_memory: "The file asks for more memory than a video may have here.",
  resource_cpu: "The file asks for more computing time than a video may have here.",
  resource_output: "The result would be larger than it may be here.",
  resource_duration: "The pictures lie further apart than a video file can say.",
  too_large: "The file is larger than an upload may be.",
  storage_away: "The storage cannot be reached at the moment. Please try again later.",
  storage_full: "There is no space left on the server. Please try again later.",
  busy: "The server is busy. Please try again in a moment.",
  too_slow: "The upload stalled. Please try again.",
  unknown_parameter: "One of the options does not exist.",
  bad_parameter: "One of the options has a value that is not allowed.",
  throttled: "Too many uploads at once. Please try again in a moment.",
  not_authenticated: "Please sign in first.",
  worker_lost: "The work was lost again and again. Please try again.",
  internal_error: "Something went wrong on the server, again and again. The operator will find it in the log.",
  deadline_passed: "What the work needs was away for too long. The operator has to look at it; then it can be tried again.",
  process_crashed: "Reading this file crashed the process that tried. The file may be damaged.",
  segment_damaged: "What was finished was spoilt each time it was kept. The operator has to look at the storage.",
  output_lost: "What was finished was gone each time it was needed. The operator has to look at the storage.",
  process_refused: "The server has too much to do to look into the file. Please try again in a moment.",
  process_stalled: "The work on this file stopped moving. The file may be damaged.",
  network: "The server could not be reached. Please check the connection and try again.",
};

const WARNINGS = {
  deep_too_large: "The picture is too large for a second file of 10 bits.",
  hevc_too_small: "The picture is too small for HEVC, so it is H.264.",
  hdr_tone_mapped: "High dynamic range was mapped to standard range in the file that every browser plays.",
  hdr_brightness_changed: "The HDR file does not say how bright its source said it is.",
  dolby_vision_dropped: "Dolby Vision metadata was left out.",
  bit_depth_reduced: "The picture was reduced to 8 bits per sample in the file that every browser plays.",
  chroma_reduced: "Colour was reduced to 4:2:0, which browsers play.",
  alpha_dropped: "Transparency was left out.",
  size_padded: "An odd size was padded by one row or column.",
  enhancement_stepped_down: "Some of the enhancement was made weaker, because it would have done harm.",
  enhancement_clips: "In some scene the enhancement lost detail in the darkest or brightest parts.",
  interlaced_kept: "The picture is interlaced and was kept so.",
  cover_art_dropped: "Cover art was left out.",
  subtitles_dropped: "Subtitles were left out.",
  subtitle_styles_dropped: "Styled subtitles were simplified.",
  chapters_dropped: "Some chapters were left out.",
  captions_dropped: "Closed captions were left out.",
  further_video_dropped: "Further video streams were left out.",
  data_dropped: "Data streams were left out.",
  times_repaired: "Some frames had faulty times, which were mended.",
  fewer_frames_than_declared: "The file holds fewer frames than it declares.",
  shorter_than_declared: "The file ends before what its header promises.",
  packets_without_frame: "Some packets hold no frame.",
  frames_missing: "Some frames could not be decoded.",
  frames_corrupt: "Some frames are damaged in the source.",
  audio_transcoded: "The sound was converted to AAC, which browsers play.",
  audio_damaged: "Some of the sound is damaged in the source.",
  audio_dropped: "A sound track could not be kept.",
};

export const sentence = (text) => text.replace(/^./u, (letter) => letter.toUpperCase());
const asText = (code) => sentence(code.replaceAll("_", " "));

/** What happened, and to which segment. */
export function eventWords({ event, data }) {
  const words = EVENTS[event] ?? asText(event);
  return Number.isInteger(data?.segment) ? `${words} (${data.segment + 1})` : words;
}

export const warningWords = (code) => WARNINGS[code] ?? `${asText(code)}.`;

/** The sentence for an error and, where it adds something, the server's own detail. */
export function errorWords({ code, detail }) {
  const known = ERRORS[code];
  return known ? { sentence: known, detail } : { sentence: sentence(detail || asText(code)), detail: "" };
}

const SIZES = ["bytes", "KB", "MB", "GB", "TB"];

export function size(bytes) {
  let unit = 0;
  let value = bytes;
  while (value >= 1000 && unit < SIZES.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit ? value.toFixed(value < 10 ? 1 : 0) : value} ${SIZES[unit]}`;
}

export function duration(seconds) {
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, index) => (index ? String(part).padStart(2, "0") : part)).join(":");
}

export function left([, high]) {
  if (high < 8) return "a few seconds left";
  if (high < 90) return `less than ${Math.ceil(high / 10) * 10} s left`;
  return high < 7200 ? `less than ${Math.ceil(high / 60)} min left` : `less than ${Math.ceil(high / 3600)} h left`;
}

/** How many videos go before one that waits. */
export function placeWords(place) {
  if (place === 0) return "next in line";
  return `${count(place)} ${place === 1 ? "video" : "videos"} before it`;
}

export function ago(moment) {
  const seconds = (Date.now() - Date.parse(moment)) / 1000;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  const sameDay = new Date(moment).toDateString() === new Date().toDateString();
  const options = sameDay ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(undefined, options).format(new Date(moment));
}

/** A fraction "num/den" as a number, or null. */
export function fraction(text) {
  const [above, below] = String(text ?? "").split("/").map(Number);
  return below ? above / below : null;
}

export const count = (number) => new Intl.NumberFormat().format(number);
