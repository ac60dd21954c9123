/* spec: lines to a broker's own program, started anew for each case. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "spec/link.h"

enum { START_TRIES = 200, TRY_MS = 10, READ_BYTES = 4096 };

static const char *program_path, *program_port;
static pid_t child;
static struct spec_line *lines[SPEC_LINES_MAX];

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(program_port, NULL, 10)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        (void)close(fd);
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = TRY_MS * 1000000L}, NULL);
}

static bool program_begin(const struct spec_wish *wish)
{
    (void)wish;
    (void)signal(SIGPIPE, SIG_IGN);
    child = fork();
    if (child == 0) {
        int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(quiet, STDOUT_FILENO);
        (void)dup2(quiet, STDERR_FILENO);
        (void)execlp(program_path, program_path, "-p", program_port, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < START_TRIES; i++) {
        int fd = dial();
        if (fd >= 0) {
            (void)close(fd);
            return true;
        }
        nap();
    }
    (void)fprintf(stderr, "%s does not listen on port %s\n", program_path, program_port);
    return false;
}

static void program_end(void)
{
    if (child > 0) {
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
        child = 0;
    }
}

static void program_open(struct spec_line *line)
{
    line->handle = dial();
    line->ended = line->handle < 0;
    for (size_t i = 0; i < SPEC_LINES_MAX; i++) {
        if (lines[i] == line || lines[i] == NULL) {
            lines[i] = line;
            return;
        }
    }
}

static void program_cut(struct spec_line *line)
{
    if (line->handle >= 0) {
        (void)close(line->handle);
        line->handle = -1;
    }
}

static void program_send(struct spec_line *line)
{
    while (line->handle >= 0 && line->out.n > 0) {
        ssize_t n = write(line->handle, line->out.p, line->out.n);
        if (n <= 0) {
            return; /* a full socket: pass() goes on with it */
        }
        td_buf_drop(&line->out, (size_t)n);
    }
}

static void receive(struct spec_line *line)
{
    uint8_t bytes[READ_BYTES];
    ssize_t n;
    while ((n = read(line->handle, bytes, sizeof bytes)) > 0) {
        td_assert(td_buf_add(&line->in, (td_slice){bytes, (size_t)n}) == TD_OK);
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        program_cut(line);
        line->ended = true;
    }
}

static void program_pass(td_ms ms)
{
    for (td_ms spent = 0; spent < ms; spent += TRY_MS) {
        for (size_t i = 0; i < SPEC_LINES_MAX && lines[i] != NULL; i++) {
            if (lines[i]->handle >= 0) {
                program_send(lines[i]);
                receive(lines[i]);
            }
        }
        nap();
    }
}

static bool program_restart(bool dies)
{
    (void)dies;
    return false;
}

const struct spec_link *spec_link_program(const char *program, const char *port)
{
    static const struct spec_link link = {.begin = program_begin,
                                          .end = program_end,
                                          .open = program_open,
                                          .send = program_send,
                                          .cut = program_cut,
                                          .pass = program_pass,
                                          .restart = program_restart};
    program_path = program;
    program_port = port;
    return &link;
}
