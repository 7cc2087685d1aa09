"""Every path of the service."""

from django.contrib import admin
from django.urls import include, path

from processing.api import urls as jobs
from uploads.views import UploadDetail, UploadView
from videoproc import health, views
from videoproc.schema import SchemaView
from videoproc.signin import sign_in
from videoproc.tokens import Tokens

api = [
    path("uploads", UploadView.as_view(), name="uploads"),
    path("uploads/<uuid:upload_id>", UploadDetail.as_view(), name="upload"),
    path("tokens", Tokens.as_view(), name="tokens"),
    path("schema", SchemaView.as_view(), name="schema"),
    *jobs.api,
]

urlpatterns = [
    path("", views.page, name="page"),
    path("sign-in", views.SignIn.as_view(), name="sign-in"),
    path("sign-out", views.SignOut.as_view(), name="sign-out"),
    path("upload", UploadView.as_view(), name="sketch-upload"),
    path("internal/", include(jobs.internal)),
    path("api/v1/", include(api)),
    path("health/live", health.live, name="live"),
    path("health/ready", health.ready, name="ready"),
    path("sign-in/<str:token>", sign_in, name="sign-in-link"),
    path("admin/", admin.site.urls),
]

handler400 = "videoproc.problems.bad_request"
handler403 = "videoproc.problems.permission_denied"
handler404 = "videoproc.problems.not_found"
handler500 = "videoproc.problems.server_error"
