/*
 * What there is: /api/v1/labels, label/<name>/values, series, metadata.
 * start, end and match[] choose the series, see series_search.h.
 */
#ifndef API_METADATA_API_H
#define API_METADATA_API_H

#include "api/route.h"

/* start, end, match[], limit */
void metadata_labels(const struct api *api, struct request *request, struct response *response);
void metadata_label_values(
    const struct api *api, struct request *request, struct response *response);
/* The same; match[] is required. */
void metadata_series(const struct api *api, struct request *request, struct response *response);
/* metric, limit */
void metadata_metrics(const struct api *api, struct request *request, struct response *response);

#endif
