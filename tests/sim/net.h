/* sim: streams between machines.
 *
 * A stream carries bytes in segments of random size, each with its own latency, in order. What is
 * under way and what the other side has not read yet share one window; a full window makes write
 * say TD_EAGAIN. shutdown and close send an end behind the bytes; close with unread bytes sends a
 * reset instead, which may overtake and so eat bytes under way, as TCP's does. Readiness is by
 * level, and a hangup is told whatever is watched, as epoll does. One address space for all
 * machines; the names in addresses are not looked at.
 *
 * Not modelled: loss and duplicates inside TCP (they show as latency), datagrams. */
#ifndef SIM_NET_H
#define SIM_NET_H

#include "sim/world.h"

/* For streams that are made from now on; the last three act on all. */
struct sim_net_options {
    td_mono latency_min, latency_max;
    uint32_t window_min, window_max; /* bytes */
    uint32_t tiny_ppm;               /* streams whose segments are of one byte */
    uint32_t segment_max;            /* bytes of the others' */
    uint32_t stall_ppm;              /* segments that come `stall_max` later at most */
    td_mono stall_max;
    uint32_t reset_ppm; /* segments on whose way the stream breaks for both sides */
};

/* A calm net: 50..500 us, windows of 64 KB. */
struct sim_net_options *sim_net_options(struct sim_world *w);

/* Cuts a random stream off for a while (nothing arrives), or breaks it for good. */
void sim_net_partition(struct sim_world *w, td_mono span);
void sim_net_break(struct sim_world *w);
/* Cuts all off. */
void sim_net_partition_all(struct sim_world *w, td_mono span);
size_t sim_net_stream_count(const struct sim_world *w);

#endif
