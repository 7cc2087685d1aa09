"""Paths of the job interface, below /api/v1/, and of the status documents, below /internal/."""

from django.urls import path

from processing.api import control, pictures, sketch, views
from processing.api.document import STILLS

api = [
    path("jobs", views.JobList.as_view(), name="jobs"),
    path("jobs/<uuid:job_id>", views.JobDetail.as_view(), name="job"),
    path("jobs/<uuid:job_id>/cancel", control.JobCancel.as_view(), name="job-cancel"),
    path("jobs/<uuid:job_id>/retry", control.JobRetry.as_view(), name="job-retry"),
    path("jobs/<uuid:job_id>/pause", control.JobPause.as_view(), name="job-pause"),
    path("jobs/<uuid:job_id>/resume", control.JobResume.as_view(), name="job-resume"),
    path("jobs/<uuid:job_id>/priority", control.JobPriority.as_view(), name="job-priority"),
    path("jobs/<uuid:job_id>/events", views.JobEvents.as_view(), name="job-events"),
    path("jobs/<uuid:job_id>/metadata", views.JobMetadata.as_view(), name="job-metadata"),
    path("jobs/<uuid:job_id>/receipt", views.JobReceipt.as_view(), name="job-receipt"),
    path("jobs/<uuid:job_id>/result", views.JobResult.as_view(), name="job-result"),
    path("jobs/<uuid:job_id>/renditions/<str:name>", views.JobRendition.as_view(), name="job-rendition"),
    path("jobs/<uuid:job_id>/source", views.JobSource.as_view(), name="job-source"),
    path("jobs/<uuid:job_id>/storyboard", pictures.JobStoryboard.as_view(), name="job-storyboard"),
    path("jobs/<uuid:job_id>/storyboard.vtt", pictures.JobStoryboardCues.as_view(), name="job-storyboard_cues"),
    path("jobs/<uuid:job_id>/thumbnail", pictures.JobThumbnail.as_view(), name="job-thumbnail"),
    *(
        path(f"jobs/<uuid:job_id>/{still}", pictures.JobStill.as_view(still=still), name=f"job-{still}")
        for still in STILLS
    ),
]
internal = [
    path("video-enhancement-status/<str:file_id>", sketch.EnhancementStatus.as_view(), name="enhancement-status"),
    path("metadata-extraction-status/<str:file_id>", sketch.MetadataStatus.as_view(), name="metadata-status"),
]
