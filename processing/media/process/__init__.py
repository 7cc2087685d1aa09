"""Where foreign bytes are parsed: processes forked warm, confined first, watched to their end, and never trusted."""
