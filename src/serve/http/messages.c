/* serve/http: publishing by HTTP, answered when what was published cannot be lost any more. */
#include "serve/http/inside.h"
#include "serve/stage.h"

enum { TOPIC, PAYLOAD, QOS, RETAIN, MEMBERS };

/* What is wrong with the message; NULL: nothing. */
static const struct td_httpd_member *message_wrong(const struct td_httpd_member *m,
                                                   const char **rule)
{
    td_slice topic = m[TOPIC].text, qos = m[QOS].text, retain = m[RETAIN].text;
    if (!m[TOPIC].is_string || !td_topic_valid(topic) || td_slice_starts(topic, TD_STR("$"))) {
        *rule = "a topic name is a text of 1 to 65535 bytes without + and #, not beginning with $";
        return &m[TOPIC];
    }
    if (m[QOS].there && (m[QOS].is_string || qos.n != 1 || !td_in(qos.p[0], '0', '2'))) {
        *rule = "it is 0, 1 or 2";
        return &m[QOS];
    }
    if (m[RETAIN].there && (m[RETAIN].is_string || (!td_slice_eq(retain, TD_STR("true")) &&
                                                    !td_slice_eq(retain, TD_STR("false"))))) {
        *rule = "it is true or false";
        return &m[RETAIN];
    }
    return NULL;
}

static bool may_say(struct td_httpd_conn *c, const struct td_httpd_member *m)
{
    bool retain = m[RETAIN].there && m[RETAIN].text.p[0] == 't';
    return td_httpd_may(c, TD_GUARD_PUBLISH, m[TOPIC].text) &&
           (!retain || td_httpd_may(c, TD_GUARD_WRITE, m[TOPIC].text));
}

static void publish(struct td_httpd_conn *c, const struct td_httpd_member *m)
{
    struct td_parts *parts = c->d->parts;
    struct td_message message = {
        .topic = m[TOPIC].text,
        .payload = m[PAYLOAD].text,
        .expires = TD_NEVER,
        .at = parts->sys->wall(parts->sys),
        .author = c->who->number,
        .qos = m[QOS].there ? (uint8_t)(m[QOS].text.p[0] - '0') : 1,
        .retain = m[RETAIN].there && m[RETAIN].text.p[0] == 't',
    };
    td_httpd_audit(c, TD_AUDIT_PUBLISH, false, message.topic);
    uint64_t lsn = td_publish(parts, &message);
    td_message_done(&message);
    td_httpd_answer_when(c, message.qos > 0 ? lsn : 0, TD_STR("{\"status\":\"published\"}"));
}

void td_httpd_messages(struct td_httpd_conn *c, td_mono now)
{
    struct td_httpd_member m[MEMBERS] = {
        {.name = "topic"}, {.name = "payload"}, {.name = "qos"}, {.name = "retain"}};
    struct td_arena arena;
    const char *rule = NULL;
    (void)now;
    td_arena_init(&arena, 0);
    if (td_httpd_body(c, &arena, m, MEMBERS)) {
        const struct td_httpd_member *wrong = message_wrong(m, &rule);
        if (wrong != NULL) {
            td_httpd_bad(c, wrong->name, wrong->text, rule,
                         "send {\"topic\":\"a/b\",\"payload\":\"42\",\"qos\":1,\"retain\":false}");
        } else if (!may_say(c, m)) {
            td_httpd_forbidden(c, "topic", m[TOPIC].text,
                               "it needs the right to publish, and with retain to write");
        } else {
            publish(c, m);
        }
    }
    td_arena_fini(&arena);
}
