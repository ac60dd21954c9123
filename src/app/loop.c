/* app: the loop's frame. A signal sets a flag and wakes the wait, so nothing is polled. */
#include "app/loop.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>

enum { TRIM_MS = 30000, TRIM_BYTES = 2 << 20 };

static td_mono trim_at;        /* when memory is looked at next */
static struct td_linux *woken; /* whom the handler wakes */
static volatile sig_atomic_t end_asked, reload_asked;

static void on_signal(int number)
{
    if (number == SIGHUP) {
        reload_asked = 1;
    } else {
        end_asked = 1;
    }
    if (woken != NULL) {
        td_linux_wake(woken);
    }
}

struct td_linux *td_app_loop_new(void)
{
    enum td_err err = td_linux_new(&woken);
    if (err != TD_OK) {
        woken = NULL;
        (void)fprintf(
            stderr,
            "tandem: the kernel gives no event queue (%s); is the limit of open files reached?\n",
            td_err_text(err));
        return NULL;
    }
    struct sigaction end = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};
    td_assert(sigaction(SIGTERM, &end, NULL) == 0);
    td_assert(sigaction(SIGINT, &end, NULL) == 0);
    td_assert(sigaction(SIGPIPE, &ignore, NULL) == 0);
    return woken;
}

void td_app_loop_free(struct td_linux *l)
{
    woken = NULL;
    td_linux_free(l);
}

void td_app_loop_reloads(void)
{
    struct sigaction reload = {.sa_handler = on_signal};
    td_assert(sigaction(SIGHUP, &reload, NULL) == 0);
}

bool td_app_loop_reload(void)
{
    bool asked = reload_asked != 0;
    reload_asked = 0;
    return asked;
}

bool td_app_loop_ended(void)
{
    return end_asked != 0;
}

/* What a storm of clients took and gave back, glibc keeps. Every 30 s, if much has become free
 * since the last time, the kernel gets it. */
static void memory_trim(td_mono now)
{
    static size_t known_free;
    size_t free_bytes = mallinfo2().fordblks;
    if (free_bytes > known_free + TRIM_BYTES) {
        (void)malloc_trim(0); /* it is free all the same, but no longer resident */
        known_free = mallinfo2().fordblks;
    } else if (free_bytes < known_free) {
        known_free = free_bytes;
    }
    trim_at = td_mono_after(now, TRIM_MS);
}

bool td_app_loop_wait(struct td_linux *l, td_mono deadline)
{
    if (!td_app_loop_ended()) {
        td_linux_wait(l, td_mono_min(deadline, trim_at));
    }
    td_mono now = td_linux_sys(l)->mono(td_linux_sys(l));
    if (now >= trim_at) {
        memory_trim(now);
    }
    return !td_app_loop_ended();
}
