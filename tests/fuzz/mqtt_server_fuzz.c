/* What a client says to a server's machine, whole and in portions as the first byte says: both come
 * to the same packets and the same end, and no bound is passed. */
#include <stdlib.h>

#include "base/base.h"
#include "wire/mqtt/mqtt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct td_mqtt_limits limits = {
    .packet_bytes_max = 4096,
    .connect_bytes_max = 1024,
    .alias_bytes_max = 700,
    .connect_ms = 10000,
    .receive_max = 4,
    .alias_max = 8,
    .qos_max = 2,
};

struct tally {
    uint64_t hash;
    size_t packets;
    unsigned reason, version;
};

static void note(struct tally *t, const struct td_mqtt_packet *p)
{
    t->packets++;
    t->hash = t->hash * 31 + p->type;
    if (p->type == TD_MQTT_PUBLISH) {
        td_assert(td_mqtt_topic_valid(p->topic) && p->qos < 3 && (p->qos == 0) == (p->id == 0));
        t->hash = td_hash(p->payload, td_hash(p->topic, t->hash)) + p->id;
    }
}

/* The server's part: lets in who comes, acknowledges every third PUBLISH at once. */
static void answer(struct td_mqtt *m, const struct td_mqtt_packet *p)
{
    uint8_t ack[TD_MQTT_ACK_MAX];
    if (m->state == TD_MQTT_WAIT || p->type == TD_MQTT_AUTH) {
        td_mqtt_accepted(m, p->connect.keep_alive_s, m->heard);
    }
    if (p->type == TD_MQTT_PUBLISH && p->qos > 0 && p->id % 3 == 0) {
        td_assert(td_mqtt_ack(m, ack, p->qos == 1 ? TD_MQTT_PUBACK : TD_MQTT_PUBCOMP, p->id,
                              0x10) <= ack + sizeof ack);
    }
    td_assert(m->version != TD_MQTT_V5 || m->receiving <= limits.receive_max);
}

static struct tally run(td_slice in, size_t step)
{
    struct td_mqtt m;
    struct tally t = {0};
    void *aliases = NULL;
    uint8_t *copy = malloc(in.n + 1);
    size_t have = 0, at = 0;
    enum td_mqtt_got got = TD_MQTT_GOT_NONE;
    td_mqtt_init(&m, TD_MQTT_SERVER, &limits, 0);
    while (have < in.n && got != TD_MQTT_GOT_ERROR) {
        size_t more = step < in.n - have ? step : in.n - have;
        memcpy(copy + have, in.p + have, more);
        have += more;
        do {
            struct td_mqtt_packet p = {.connect.keep_alive_s = 60};
            td_slice rest = {copy + at, have - at};
            got = td_mqtt_next(&m, &rest, (td_mono)have, &p);
            at = have - rest.n;
            td_assert(m.want <= limits.packet_bytes_max);
            if (got == TD_MQTT_GOT_PACKET) {
                note(&t, &p);
                answer(&m, &p);
            } else if (got == TD_MQTT_GOT_ALIASES) {
                size_t bytes = td_mqtt_aliases_want(&m);
                td_assert(bytes <= limits.alias_bytes_max);
                aliases = realloc(aliases, bytes);
                td_mqtt_aliases_lend(&m, aliases, bytes);
            }
        } while (got == TD_MQTT_GOT_PACKET || got == TD_MQTT_GOT_ALIASES);
    }
    t.reason = got == TD_MQTT_GOT_ERROR ? m.reason : 0;
    t.version = m.version;
    uint8_t word[TD_MQTT_WORD_MAX];
    td_assert(td_mqtt_word(&m, m.reason, m.rule, word) <= sizeof word);
    free(aliases);
    free(copy);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1) {
        return 0;
    }
    td_slice in = {data + 1, n - 1};
    struct tally whole = run(in, in.n + 1), cut = run(in, (size_t)data[0] % 64 + 1);
    td_assert(whole.packets == cut.packets && whole.hash == cut.hash);
    td_assert(whole.reason == cut.reason && whole.version == cut.version);
    return 0;
}
