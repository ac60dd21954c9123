/* app: the loop's frame. A signal sets a flag and wakes the wait, so nothing is polled. */
#include "app/loop.h"

#include <signal.h>
#include <stdio.h>

static struct td_linux *woken; /* whom the handler wakes */
static volatile sig_atomic_t end_asked;

static void on_signal(int number)
{
    (void)number;
    end_asked = 1;
    if (woken != NULL) {
        td_linux_wake(woken);
    }
}

struct td_linux *td_app_loop_new(void)
{
    enum td_err err = td_linux_new(&woken);
    if (err != TD_OK) {
        woken = NULL;
        fprintf(
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

bool td_app_loop_ended(void)
{
    return end_asked != 0;
}

bool td_app_loop_wait(struct td_linux *l, td_mono deadline)
{
    if (!td_app_loop_ended()) {
        td_linux_wait(l, deadline);
    }
    return !td_app_loop_ended();
}
