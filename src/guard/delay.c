/* guard: who guesses waits. Failures are counted by name and by address, in two tables of one slot
 * a hash: a clash makes somebody wait who need not, for a moment. Nobody is locked out: a name that
 * is guessed at waits a second at most, an address has its attempts spaced by up to four. */
#include "guard/guard.h"

#include <stdlib.h>

enum {
    SLOTS = 1024,
    FREE_FAILURES = 3, /* people mistype */
    FIRST_MS = 125,
    NAME_MS_MAX = 1000,
    ADDRESS_MS_MAX = 4000,
    WAIT_MS_MAX = 10000,
    FORGET_MS = 60000 /* one failure less for each that passes */
};

struct slot {
    uint32_t failures;
    td_mono at;   /* of the last failure, */
    td_mono next; /* addresses: the next attempt not before */
};

struct td_guard_delays {
    uint64_t seed;
    struct slot names[SLOTS], addresses[SLOTS];
};

struct td_guard_delays *td_guard_delays_new(uint64_t seed)
{
    struct td_guard_delays *d = td_alloc(sizeof *d);
    d->seed = seed;
    return d;
}

void td_guard_delays_free(struct td_guard_delays *d)
{
    free(d);
}

static uint32_t failures_now(const struct slot *s, td_mono now)
{
    int64_t passed = (now - s->at) / (FORGET_MS * TD_NS_PER_MS);
    return passed >= s->failures ? 0 : s->failures - (uint32_t)passed;
}

static td_ms span_of(const struct slot *s, td_ms most, td_mono now)
{
    uint32_t failures = failures_now(s, now);
    if (failures <= FREE_FAILURES) {
        return 0;
    }
    uint32_t doubled = failures - FREE_FAILURES - 1;
    td_ms ms = (td_ms)FIRST_MS << (doubled < 16 ? doubled : 16);
    return ms < most ? ms : most;
}

static struct slot *slot_of(struct slot *slots, uint64_t seed, td_slice key)
{
    return &slots[td_hash(key, seed) % SLOTS];
}

enum td_err td_guard_delay(struct td_guard_delays *d, td_slice name, td_slice address, td_mono now,
                           td_mono *at)
{
    const struct slot *n = slot_of(d->names, d->seed, name);
    struct slot *a = slot_of(d->addresses, d->seed, address);
    td_mono due = td_mono_after(now, span_of(n, NAME_MS_MAX, now));
    td_ms span = span_of(a, ADDRESS_MS_MAX, now);
    if (span > 0) {
        td_mono free_at = a->next > now ? a->next : now;
        if (free_at > td_mono_after(now, WAIT_MS_MAX)) {
            return TD_EFULL;
        }
        a->next = td_mono_after(free_at, span);
        due = a->next > due ? a->next : due;
    }
    *at = due;
    return TD_OK;
}

static void count(struct slot *s, td_mono now)
{
    s->failures = failures_now(s, now) + 1;
    s->at = now;
}

void td_guard_delay_failed(struct td_guard_delays *d, td_slice name, td_slice address, td_mono now)
{
    count(slot_of(d->names, d->seed, name), now);
    count(slot_of(d->addresses, d->seed, address), now);
}

void td_guard_delay_passed(struct td_guard_delays *d, td_slice name)
{
    slot_of(d->names, d->seed, name)->failures = 0;
}
