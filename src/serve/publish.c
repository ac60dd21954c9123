/* serve: the one way of a message.
 *
 *   retain -> match -> deliver (sessions queue, rules decide, the recorder appends a row)
 *          -> what must not be lost goes into one batch of the store -> the LSN to wait for
 *
 * What stands under $SYS/ is true of this process only: it is retained, but not stored. */
#include "serve/decide.h"
#include "serve/loop.h"
#include "serve/mqtt/mqttd.h"
#include "serve/record.h"
#include "serve/serve.h"
#include "store/store.h"

uint64_t td_publish(struct td_parts *parts, struct td_message *m)
{
    if (parts->loop != NULL) {
        return td_loop_publish(parts->loop, m);
    }
    if (td_hub_publish(parts->hub, m) && !td_slice_starts(m->topic, TD_STR("$SYS/"))) {
        td_mqttd_retain_put(parts->mqttd, m);
    }
    bool routed = td_mqttd_route(parts->mqttd, m);
    bool urgent = td_decide_staged(parts->decide) || routed || m->qos > 0;
    uint64_t lsn = td_store_batch_end(parts->store, urgent ? TD_STORE_NOW : TD_STORE_1S);
    td_mqttd_routed(parts->mqttd, lsn);
    td_decide_routed(parts->decide, lsn);
    uint64_t row = td_record_take_lsn(parts->record);
    return row > lsn ? row : lsn;
}
