/* app: how `tandem sub` prints a message. One row per letter. */
#include "app/format.h"

#include "base/json.h"
#include "base/time.h"

struct job {
    struct td_buf *out;
    const struct td_mqtt_packet *m;
    td_wall wall;
    enum td_err err; /* the first stays */
};

static void text(struct job *j, td_slice s)
{
    enum td_err err = td_buf_add(j->out, s);
    j->err = j->err != TD_OK ? j->err : err;
}

static void number(struct job *j, uint64_t v)
{
    enum td_err err = td_buf_printf(j->out, "%llu", (unsigned long long)v);
    j->err = j->err != TD_OK ? j->err : err;
}

static void quoted(struct job *j, td_slice s)
{
    enum td_err err = td_json_add_string(j->out, s);
    j->err = j->err != TD_OK ? j->err : err;
}

static void hex(struct job *j, const char *digits)
{
    for (size_t i = 0; i < j->m->payload.n; i++) {
        uint8_t byte = j->m->payload.p[i];
        text(j, (td_slice){(const uint8_t *)&digits[byte >> 4], 1});
        text(j, (td_slice){(const uint8_t *)&digits[byte & 15], 1});
    }
}

static bool has(const struct job *j, enum td_mqtt_prop prop)
{
    return td_mqtt_has(&j->m->props, prop);
}

/* ---- letters ---- */

static void topic(struct job *j)
{
    text(j, j->m->topic);
}

static void payload(struct job *j)
{
    text(j, j->m->payload);
}

static void hex_small(struct job *j)
{
    hex(j, "0123456789abcdef");
}

static void hex_large(struct job *j)
{
    hex(j, "0123456789ABCDEF");
}

static void qos(struct job *j)
{
    number(j, j->m->qos);
}

static void retain(struct job *j)
{
    number(j, j->m->retain);
}

static void length(struct job *j)
{
    number(j, j->m->payload.n);
}

static void packet_id(struct job *j)
{
    number(j, j->m->id);
}

static void iso_time(struct job *j)
{
    char at[TD_TIME_TEXT_BYTES];
    td_time_text(j->wall, at);
    text(j, (td_slice){(const uint8_t *)at, sizeof at});
}

static void unix_time(struct job *j)
{
    enum td_err err = td_buf_printf(j->out, "%lld.%09lld", (long long)(j->wall / TD_NS_PER_S),
                                    (long long)(j->wall % TD_NS_PER_S));
    j->err = j->err != TD_OK ? j->err : err;
}

static void content_type(struct job *j)
{
    text(j, has(j, TD_MQTT_PROP_CONTENT_TYPE) ? j->m->props.content_type : TD_STR(""));
}

static void response_topic(struct job *j)
{
    text(j, has(j, TD_MQTT_PROP_RESPONSE_TOPIC) ? j->m->props.response_topic : TD_STR(""));
}

static void correlation(struct job *j)
{
    text(j, has(j, TD_MQTT_PROP_CORRELATION_DATA) ? j->m->props.correlation_data : TD_STR(""));
}

static void expiry(struct job *j)
{
    if (has(j, TD_MQTT_PROP_MESSAGE_EXPIRY)) {
        number(j, j->m->props.message_expiry_s);
    }
}

static void user_properties(struct job *j)
{
    td_slice rest = j->m->props.has != 0 ? j->m->props.raw : TD_STR(""), name, value;
    for (bool more = false; td_mqtt_user_next(&rest, &name, &value); more = true) {
        text(j, more ? TD_STR(" ") : TD_STR(""));
        text(j, name);
        text(j, TD_STR(":"));
        text(j, value);
    }
}

static void subscription_ids(struct job *j)
{
    td_slice rest = j->m->props.has != 0 ? j->m->props.raw : TD_STR("");
    uint32_t id;
    for (bool more = false; td_mqtt_subscription_id_next(&rest, &id); more = true) {
        text(j, more ? TD_STR(" ") : TD_STR(""));
        number(j, id);
    }
}

static void json(struct job *j, bool payload_is_json)
{
    text(j, TD_STR("{\"tst\":\""));
    iso_time(j);
    text(j, TD_STR("\",\"topic\":"));
    quoted(j, j->m->topic);
    text(j, TD_STR(",\"qos\":"));
    number(j, j->m->qos);
    text(j, TD_STR(",\"retain\":"));
    number(j, j->m->retain);
    text(j, TD_STR(",\"payloadlen\":"));
    number(j, j->m->payload.n);
    text(j, TD_STR(",\"payload\":"));
    if (payload_is_json && td_json_valid(j->m->payload)) {
        text(j, j->m->payload);
    } else {
        quoted(j, j->m->payload);
    }
    text(j, TD_STR("}"));
}

static void json_text(struct job *j)
{
    json(j, false);
}

static void json_nested(struct job *j)
{
    json(j, true);
}

static void percent(struct job *j)
{
    text(j, TD_STR("%"));
}

static const struct letter {
    char letter;
    void (*print)(struct job *j);
} letters[] = {
    {'t', topic},       {'p', payload},     {'x', hex_small},       {'X', hex_large},
    {'q', qos},         {'r', retain},      {'l', length},          {'m', packet_id},
    {'I', iso_time},    {'U', unix_time},   {'C', content_type},    {'R', response_topic},
    {'D', correlation}, {'E', expiry},      {'P', user_properties}, {'S', subscription_ids},
    {'j', json_text},   {'J', json_nested}, {'%', percent},
};

static const struct {
    char letter, byte;
} escapes[] = {{'n', '\n'}, {'t', '\t'}, {'r', '\r'}, {'a', '\a'},
               {'e', 27},   {'0', '\0'}, {'\\', '\\'}};

const char *const td_app_format_help =
    "-F letters: %t topic  %p payload  %x %X payload in hexadecimal  %l its length\n"
    "            %q QoS  %r retained  %m packet id  %I time, ISO 8601  %U time, seconds\n"
    "            %j all as JSON  %J the same, the payload being JSON  %% itself\n"
    "            MQTT 5: %C content type  %R response topic  %D correlation data  %E expiry\n"
    "                    %P user properties  %S subscription identifiers\n"
    "            \\n \\t \\r \\a \\e \\0 \\\\ as in C\n";

static const struct letter *letter_find(char c)
{
    for (size_t i = 0; i < TD_COUNT(letters); i++) {
        if (letters[i].letter == c) {
            return &letters[i];
        }
    }
    return NULL;
}

static int escape_find(char c)
{
    for (size_t i = 0; i < TD_COUNT(escapes); i++) {
        if (escapes[i].letter == c) {
            return escapes[i].byte;
        }
    }
    return -1;
}

const char *td_app_format_check(const char *format)
{
    for (const char *p = format; *p != '\0'; p++) {
        bool letter = *p == '%', escape = *p == '\\';
        p += letter || escape;
        if ((letter && letter_find(*p) == NULL) || (escape && escape_find(*p) < 0)) {
            return letter ? "a letter behind % is not known" : "a letter behind \\ is not known";
        }
    }
    return NULL;
}

enum td_err td_app_format(struct td_buf *out, const char *format,
                          const struct td_mqtt_packet *message, td_wall wall)
{
    struct job j = {out, message, wall, TD_OK};
    for (const char *p = format; *p != '\0'; p++) {
        if (*p == '%') {
            const struct letter *l = letter_find(*++p);
            td_assert(l != NULL); /* the format was checked */
            l->print(&j);
        } else if (*p == '\\') {
            uint8_t byte = (uint8_t)escape_find(*++p);
            text(&j, (td_slice){&byte, 1});
        } else {
            text(&j, (td_slice){(const uint8_t *)p, 1});
        }
    }
    return j.err;
}
