/* app: the sample town. Each device is `tandem simulate DEVICE` in a process of its own; the kernel
 * ends it when the hub's process dies, however that happens. */
#include "app/demo.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const devices[] = {"vending", "thermostat", "crossing"};
static pid_t running[TD_COUNT(devices)]; /* 0: not */

static _Noreturn void become(const char *device, const char *mqtt, pid_t hub)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != hub) { /* it died before we asked */
        _exit(1);
    }
    (void)execl("/proc/self/exe", "tandem", "simulate", device, "--mqtt", mqtt, (char *)NULL);
    (void)fprintf(stderr, "tandem serve: the %s cannot be started: %s\n", device, strerror(errno));
    _exit(1);
}

void td_app_demo_start(const char *mqtt)
{
    pid_t hub = getpid();
    for (size_t i = 0; i < TD_COUNT(devices); i++) {
        pid_t pid = fork();
        if (pid == 0) {
            become(devices[i], mqtt, hub);
        }
        if (pid < 0) {
            (void)fprintf(stderr, "tandem serve: the %s cannot be started: %s\n", devices[i],
                          strerror(errno));
        }
        running[i] = pid < 0 ? 0 : pid;
    }
}

static const char *port_of(const char *address)
{
    const char *colon = strrchr(address, ':');
    return colon == NULL ? "" : colon + 1;
}

void td_app_demo_print(const char *mqtt, const char *http)
{
    const char *port = port_of(mqtt);
    printf(
        "\n"
        "  A vending machine, a room and a crossing are running. Look at them:\n\n"
        "    http://%s\n\n"
        "  In a second terminal:\n\n"
        "    mosquitto_sub -p %s -t '#' -v            hear all that is said (or build/tandem sub)\n"
        "    mosquitto_sub -p %s -t orders            wait for the machine to restock itself\n"
        "    mosquitto_pub -p %s -t home/living/win/south -m '{\"open\":true}'\n"
        "                                               open the window: the heater stops\n"
        "    build/tandem query --http %s \\\n"
        "      \"SELECT stream, count(*), avg(value) FROM points WHERE field = 'value' GROUP BY "
        "1\"\n"
        "\n"
        "  Ctrl-C ends all of it.\n\n",
        http, port, port, port, http);
    (void)fflush(stdout);
}

void td_app_demo_stop(void)
{
    for (size_t i = 0; i < TD_COUNT(devices); i++) {
        if (running[i] > 0) {
            (void)kill(running[i], SIGTERM); /* gone already is as good */
        }
    }
    for (size_t i = 0; i < TD_COUNT(devices); i++) {
        while (running[i] > 0 && waitpid(running[i], NULL, 0) < 0 && errno == EINTR) {
        }
        running[i] = 0;
    }
}
