#include "cmd/refusal_json.h"

json_t *refusal_json(const uint64_t counts[REFUSALS])
{
    json_t *all = json_object();
    for (int r = REFUSED_NOT + 1; r < REFUSALS; r++)
        json_object_set_new(
            all, refusal_name((enum refusal)r), json_integer((json_int_t)counts[r]));
    return all;
}
