/* lang: looking back in time, in 64 panes. A sample is added to the pane of its time; a pane leaves
 * as a whole, so the window slides in steps of 1/64 of its length and costs the same however many
 * samples it holds. */
#include "lang/vm.h"

struct pane {
    int64_t index; /* now / width; -1: empty */
    uint64_t count;
    double sum, least, most;
    double enter; /* of a COUNTER: increase from the sample before to the first of this pane */
    double inner; /* from the first to the last of this pane */
    td_mono first_at;
};

struct td_lang_window {
    td_mono width; /* of a pane */
    uint64_t turn; /* of the last sample: one a turn */
    bool any;
    double last;
    struct pane panes[TD_LANG_PANES];
};

struct td_lang_window *td_lang_window_new(td_mono span)
{
    struct td_lang_window *w = td_alloc(sizeof *w);
    w->width = span / TD_LANG_PANES > 0 ? span / TD_LANG_PANES : 1;
    for (size_t i = 0; i < TD_LANG_PANES; i++) {
        w->panes[i].index = -1;
    }
    return w;
}

static void add(struct td_lang_window *w, double x, td_mono now)
{
    int64_t index = now / w->width;
    struct pane *p = &w->panes[(uint64_t)index % TD_LANG_PANES];
    double increase = !w->any ? 0 : x >= w->last ? x - w->last : x; /* a fall counts from 0 */
    if (p->index != index) {
        *p = (struct pane){
            .index = index, .least = x, .most = x, .enter = increase, .first_at = now};
    } else {
        p->inner += increase;
    }
    p->count++;
    p->sum += x;
    p->least = x < p->least ? x : p->least;
    p->most = x > p->most ? x : p->most;
    w->last = x;
    w->any = true;
}

struct total {
    uint64_t count;
    double sum, least, most, increase;
    td_mono first_at;
    int64_t oldest;
};

static struct total total_of(const struct td_lang_window *w, td_mono now)
{
    struct total t = {.first_at = TD_NEVER};
    double oldest_enter = 0;
    int64_t newest = now / w->width;
    for (size_t i = 0; i < TD_LANG_PANES; i++) {
        const struct pane *p = &w->panes[i];
        if (p->index < 0 || p->index <= newest - TD_LANG_PANES) {
            continue;
        }
        t.least = t.count == 0 || p->least < t.least ? p->least : t.least;
        t.most = t.count == 0 || p->most > t.most ? p->most : t.most;
        t.count += p->count;
        t.sum += p->sum;
        t.increase += p->enter + p->inner;
        if (p->first_at < t.first_at) {
            t.first_at = p->first_at;
            t.oldest = p->index;
            oldest_enter = p->enter;
        }
    }
    t.increase -= oldest_enter; /* it began before the window */
    return t;
}

static struct td_lang_value result(enum td_lang_func func, const struct total *t, td_mono now)
{
    double seconds = (double)(now - t->first_at) / (double)TD_NS_PER_S;
    if (func == TD_LANG_FUNC_COUNT) {
        return td_lang_num((double)t->count);
    }
    if (t->count == 0) {
        return td_lang_unknown();
    }
    switch ((int)func) {
    case TD_LANG_FUNC_AVG:
        return td_lang_num(t->sum / (double)t->count);
    case TD_LANG_FUNC_SUM:
        return td_lang_num(t->sum);
    case TD_LANG_FUNC_MIN:
        return td_lang_num(t->least);
    case TD_LANG_FUNC_MAX:
        return td_lang_num(t->most);
    case TD_LANG_FUNC_RATE:
        return t->count > 1 && seconds > 0 ? td_lang_num(t->increase / seconds) : td_lang_unknown();
    default:
        return td_lang_unknown();
    }
}

struct td_lang_value td_lang_window(enum td_lang_func func, struct td_lang_window *w,
                                    const struct td_lang_row *row, size_t slot,
                                    struct td_lang_env *env)
{
    struct td_lang_value v = row->slots[slot].now;
    td_mono now = env->now < 0 ? 0 : env->now;
    if (w == NULL) {
        return td_lang_unknown();
    }
    if (row->turn == env->turn && w->turn != env->turn && v.kind == TD_LANG_NUM &&
        v.quality == TD_LANG_KNOWN) {
        add(w, v.num, now);
        w->turn = env->turn;
    }
    struct total t = total_of(w, now);
    if (t.count > 0) {
        env->deadline = td_mono_min(env->deadline, (t.oldest + TD_LANG_PANES) * w->width);
    }
    return result(func, &t, now);
}
