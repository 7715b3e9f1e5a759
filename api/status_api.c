#include "api/status_api.h"

#include "api/json_out.h"
#include "base/version.h"

/*
 * Grafana reads `version` as that of a Prometheus and leaves features out below 2.24, so the
 * version of Prometheus whose API and language this is comes first, and ours behind the '+', where
 * semantic versions keep what does not count.
 */
#define PROMETHEUS_VERSION "3.14.0"

void status_buildinfo(const struct api *api, struct request *request, struct response *response)
{
    (void)api, (void)request;
    json_out_begin(&response->body);
    buf_str(&response->body,
        "{\"version\":\"" PROMETHEUS_VERSION "+larder." LARDER_VERSION
        "\",\"revision\":\"" LARDER_REVISION
        "\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\"}");
    json_out_end(&response->body, NULL, false);
}

void status_healthy(const struct api *api, struct request *request, struct response *response)
{
    (void)api, (void)request;
    response_text(response, 200, "Larder is healthy.\n");
}

void status_ready(const struct api *api, struct request *request, struct response *response)
{
    (void)request;
    if (api->store)
        response_text(response, 200, "Larder is ready.\n");
    else
        response_text(response, 503, "Larder is starting.\n");
}
