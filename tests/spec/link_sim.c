/* spec: lines in the simulator's world. Each case gets a world of its own with a calm net and a
 * good disk; all clients live on one machine. */
#include <stdio.h>

#include "guard/guard.h"
#include "sim/hub.h"
#include "sim/net.h"
#include "spec/frames.h"

#define ADDRESS "127.0.0.1:1883"
#define WEB_ADDRESS "127.0.0.1:8083"

enum { READ_BYTES = 4096 };

static struct sim_world *world;
static struct sim_hub *hub;
static struct sim_machine *machine; /* the clients' */
static bool websocket;              /* the lines of this case are */

bool spec_link_sim_websocket;
unsigned spec_link_sim_loops = 1;

static void end(struct spec_line *line)
{
    machine->sys.close(&machine->sys, line->handle);
    line->handle = -1;
    line->ended = true;
}

static void receive(struct spec_line *line)
{
    uint8_t bytes[READ_BYTES];
    size_t got;
    enum td_err err;
    while ((err = machine->sys.read(&machine->sys, line->handle, bytes, sizeof bytes, &got)) ==
           TD_OK) {
        struct td_buf *to = websocket ? &line->raw : &line->in;
        td_assert(td_buf_add(to, (td_slice){bytes, got}) == TD_OK);
    }
    bool good = !websocket || spec_frames_unwrap(line);
    if (err != TD_EAGAIN || !good) {
        end(line);
    }
}

static void flush(struct spec_line *line)
{
    struct td_buf *wire = websocket ? &line->wire : &line->out;
    while (line->handle >= 0 && wire->n > 0) {
        td_slice part = td_buf_slice(wire);
        size_t sent = 0;
        if (machine->sys.write(&machine->sys, line->handle, &part, 1, &sent) != TD_OK) {
            break;
        }
        td_buf_drop(wire, sent);
    }
    if (line->handle >= 0) {
        machine->sys.watch(&machine->sys, line->handle,
                           TD_SYS_READ | (wire->n > 0 ? (unsigned)TD_SYS_WRITE : 0));
    }
}

static void on_event(void *ctx, const struct td_sys_event *e, td_mono now)
{
    struct spec_line *line = e->owner;
    (void)ctx;
    (void)now;
    if (line->handle != e->stream) {
        return;
    }
    flush(line);
    receive(line);
}

static void on_turn(void *ctx, td_mono now)
{
    (void)ctx;
    (void)now;
}

static td_mono no_deadline(void *ctx)
{
    (void)ctx;
    return TD_NEVER;
}

static const struct sim_program clients = {on_event, on_turn, no_deadline};

static void wish_apply(struct td_serve_mqtt_config *c, const struct spec_wish *wish)
{
    c->receive_max = wish->receive_max > 0 ? (uint16_t)wish->receive_max : c->receive_max;
    c->alias_max = wish->alias_max > 0 ? (uint16_t)wish->alias_max : c->alias_max;
    c->session_expiry_s = wish->session_expiry_s > 0 ? wish->session_expiry_s : c->session_expiry_s;
    c->keepalive_max_s =
        wish->keepalive_max_s > 0 ? (uint16_t)wish->keepalive_max_s : c->keepalive_max_s;
    c->queue_messages_max =
        wish->queue_messages_max > 0 ? wish->queue_messages_max : c->queue_messages_max;
    c->packet_bytes_max = wish->packet_bytes_max > 0 ? wish->packet_bytes_max : c->packet_bytes_max;
    c->sessions_max = wish->sessions_max > 0 ? wish->sessions_max : c->sessions_max;
}

static bool start(void)
{
    if (!sim_hub_start(hub)) {
        (void)fprintf(stderr, "the hub does not start: %s\n", sim_hub_why(hub));
        return false;
    }
    return true;
}

static void users_make(struct td_serve_config *config)
{
    static char line[2 * TD_GUARD_PASSWORD_MAX + 32];
    static const uint8_t salt[TD_GUARD_SALT_BYTES] = {1, 2, 3};
    char password[TD_GUARD_PASSWORD_MAX], scram[TD_GUARD_PASSWORD_MAX];
    td_assert(td_guard_password_hash(TD_STR("secret"), salt, password) == TD_OK);
    td_guard_scram_make(TD_STR("secret"), (td_slice){salt, sizeof salt}, 4096, scram);
    (void)snprintf(line, sizeof line, "user:admin:%s %s\n", password, scram);
    config->access.users = (struct td_serve_file){"users", td_slice_of(line)};
}

static bool sim_begin(const struct spec_wish *wish)
{
    static const struct td_serve_listener listeners[] = {
        {.address = ADDRESS, .kind = TD_SERVE_MQTT},
        {.address = WEB_ADDRESS, .kind = TD_SERVE_MQTT, .websocket = true}};
    websocket = wish->websocket != 0 || spec_link_sim_websocket;
    struct td_serve_config config;
    td_serve_config_default(&config);
    config.data_dir = "data";
    config.listeners = (struct td_serve_listeners){listeners, TD_COUNT(listeners)};
    config.version = "spec";
    config.store.segment_bytes = 256 * 1024;
    config.store.segments = 6;
    wish_apply(&config.mqtt, wish);
    if (wish->users != 0) {
        users_make(&config);
    }
    world = sim_world_new(1);
    hub = sim_hub_new(world, &config);
    sim_hub_loops(hub, spec_link_sim_loops);
    machine = sim_machine_new(world, "clients", NULL);
    sim_machine_program(machine, &clients, NULL);
    return start();
}

static void sim_end(void)
{
    sim_machine_free(machine);
    sim_hub_free(hub);
    sim_world_free(world);
}

static void connect_to(struct spec_line *line, td_slice address)
{
    td_assert(machine->sys.connect(&machine->sys,
                                   &(struct td_sys_connect){.address = address, .owner = line},
                                   &line->handle) == TD_OK);
    line->ended = false;
    td_buf_clear(&line->raw);
    td_buf_clear(&line->wire);
}

static void sim_upgrade(struct spec_line *line, td_slice protocol)
{
    connect_to(line, TD_STR(WEB_ADDRESS));
    spec_frames_begin(line, protocol);
    flush(line);
}

static void sim_open(struct spec_line *line)
{
    if (websocket) {
        sim_upgrade(line, TD_STR("mqtt"));
    } else {
        connect_to(line, TD_STR(ADDRESS));
    }
}

static void sim_send(struct spec_line *line)
{
    if (websocket) {
        spec_frames_wrap(line);
    }
    flush(line);
}

static void sim_frame(struct spec_line *line, uint8_t first, td_slice payload)
{
    spec_frames_put(line, first, payload);
    flush(line);
}

static void sim_cut(struct spec_line *line)
{
    if (line->handle >= 0) {
        machine->sys.close(&machine->sys, line->handle);
        line->handle = -1;
    }
}

static void sim_pass(td_ms ms)
{
    td_mono until = world->now + ms * TD_NS_PER_MS;
    while (world->now < until) {
        td_mono next = td_mono_min(until, world->now + TD_NS_PER_MS);
        (void)sim_run(world, next);
        sim_hub_look(hub);
        world->now = next;
    }
}

static bool sim_restart(bool kill)
{
    if (kill) {
        sim_hub_crash(hub, SIM_KILLED);
    } else {
        sim_hub_close(hub);
        for (int i = 0; i < 10000 && sim_hub_up(hub); i++) {
            sim_pass(1);
        }
    }
    return !sim_hub_up(hub) && start();
}

const struct spec_link spec_link_sim = {.begin = sim_begin,
                                        .end = sim_end,
                                        .open = sim_open,
                                        .send = sim_send,
                                        .cut = sim_cut,
                                        .upgrade = sim_upgrade,
                                        .frame = sim_frame,
                                        .pass = sim_pass,
                                        .restart = sim_restart,
                                        .ours = true};
