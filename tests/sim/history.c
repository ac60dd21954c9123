/* sim: the history against the book. */
#include "sim/history.h"

#include <inttypes.h>
#include <stdlib.h>

#include "store/store.h"

struct check {
    struct sim_world *w;
    struct sim_book *b;
    bool answered;
    uint8_t *seen; /* by message number: 1 its number, 2 its value */
};

/* Columns: stream, ts, field, value, in order of stream and ts. */
static void row_check(struct check *c, const struct td_value *row, uint32_t *number, td_wall *at)
{
    double n = -1;
    bool numeric = td_value_number(row[3], &n);
    if (td_slice_eq(row[2].as.text, TD_STR("n"))) {
        if (!numeric || n < 0 || n >= (double)sim_book_said_count(c->b)) {
            sim_fail(c->w, "the history has a message number that nobody sent");
            return;
        }
        *number = (uint32_t)n;
        *at = row[1].as.i;
        const struct sim_said *m = sim_book_said(c->b, *number);
        if (m->form != SIM_JSON || !td_slice_eq(sim_book_topic(c->b, m->topic), row[0].as.text)) {
            sim_fail(c->w, "the history has message %" PRIu32 " on %.*s, where it was not sent",
                     *number, (int)row[0].as.text.n, (const char *)row[0].as.text.p);
        }
        c->seen[*number] |= 1;
    } else if (td_slice_eq(row[2].as.text, TD_STR("v"))) {
        const struct sim_said *m = sim_book_said(c->b, *number);
        if (row[1].as.i != *at || !numeric || n != m->value) {
            sim_fail(c->w, "the history has %.17g as the value of message %" PRIu32 ", not %.17g",
                     n, *number, m->value);
        }
        c->seen[*number] |= 2;
    }
}

static void on_answer(void *ctx, enum td_err err, const struct td_table *table, td_slice why)
{
    struct check *c = ctx;
    uint32_t number = 0;
    td_wall at = 0;
    c->answered = true;
    if (err != TD_OK || table->cut) {
        sim_fail(c->w, "the history cannot be asked: %.*s", (int)why.n, (const char *)why.p);
        return;
    }
    for (size_t i = 0; i < table->row_count && sim_book_said_count(c->b) > 0; i++) {
        row_check(c, table->cells + i * table->column_count, &number, &at);
    }
}

static void compare(struct check *c)
{
    for (uint32_t i = 0; i < sim_book_said_count(c->b); i++) {
        const struct sim_said *m = sim_book_said(c->b, i);
        if (m->form == SIM_JSON && m->qos > 0 && m->acked != TD_NEVER && !m->refused && !m->will &&
            c->seen[i] != 3) {
            sim_fail(c->w,
                     "message %" PRIu32 " (QoS %u of client %u on %.*s, acknowledged %.6f s) is not"
                     " in the history",
                     i, m->qos, m->by, (int)sim_book_topic(c->b, m->topic).n,
                     (const char *)sim_book_topic(c->b, m->topic).p, (double)m->acked / 1e9);
        }
    }
}

static void historian_turn(void *ctx, td_mono now)
{
    td_store_turn(ctx, now);
}

static void historian_event(void *ctx, const struct td_sys_event *e, td_mono now)
{
    struct td_work *work = e->owner;
    (void)ctx;
    (void)now;
    work->done(work);
}

static td_mono historian_deadline(void *ctx)
{
    return td_store_deadline(ctx);
}

static const struct sim_program historian = {historian_event, historian_turn, historian_deadline};

static void ask(struct check *c, struct sim_machine *m, struct td_store *store)
{
    uint64_t ticket;
    sim_machine_program(m, &historian, store);
    enum td_err err = td_store_sql(
        store, TD_STR("SELECT stream, ts, field, value FROM points ORDER BY stream, ts, field"),
        on_answer, c, &ticket);
    if (err != TD_OK) {
        sim_fail(c->w, "the history takes no question: %s", td_err_name(err));
    }
    for (int i = 0; i < 100 && !c->answered && !c->w->failed; i++) {
        (void)sim_run(c->w, c->w->now + TD_NS_PER_S);
    }
    if (!c->answered) {
        sim_fail(c->w, "the history never answers");
    }
}

void sim_history_check(struct sim_world *w, struct sim_disk *disk, const char *dir,
                       struct sim_book *b)
{
    struct check c = {.w = w, .b = b, .seen = td_alloc(sim_book_said_count(b) + 1)};
    struct sim_machine *m = sim_machine_new(w, "historian", disk);
    struct td_store_config config = {.dir = dir, .existing = true};
    struct td_store *store = NULL;
    struct td_buf why;
    td_buf_init(&why, 4096);
    enum td_err err = td_store_open(&config, &m->sys, &store, &why);
    if (err != TD_OK) {
        sim_fail(w, "the store does not open: %.*s", (int)why.n, (const char *)why.p);
    } else if (td_store_stats(store)->damaged > 0) {
        td_slice damage = td_store_stats(store)->damage;
        sim_fail(w, "crashes alone have damaged the store: %.*s", (int)damage.n,
                 (const char *)damage.p);
    } else {
        ask(&c, m, store);
        compare(&c);
    }
    sim_machine_crash(m, true);
    if (store != NULL) {
        td_store_abandon(store);
    }
    sim_disk_killed(disk);
    sim_machine_free(m);
    td_buf_fini(&why);
    free(c.seen);
}
