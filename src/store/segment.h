/* store: the bytes of one log segment.
 *
 *   0                        512                                             segment bytes
 *   | head | head copy | 0.. | record | record | ... | commit | record | ...  |
 *
 *   head   := "TDLOG" u8 0 | u16 version | u64 number | u64 first_lsn | u64 prev_end
 *             | u64 keep | u32 bytes | u32 crc32c of all before
 *   record := u32 crc32c | u24 len | u8 kind | u64 lsn | payload    crc over all behind it, seeded
 *             with the segment number, so what an earlier round left here never passes
 *   commit := a record of kind COMMIT: u64 lsn where its commit began, zeros up to a 512 boundary
 *
 * Big-endian. The LSN of a record is its position: first_lsn + offset. A commit starts on a 512
 * boundary and ends there, so sectors that were synced are never written again.
 *
 * Reading back. A crash tears at most the commit that was being written: it ends the newest
 * segment. A bad record with a later commit behind it was durable once, and so is one before
 * the end that the next segment's head knows (prev_end): that is damage, told and stepped over,
 * losing only records whose bytes are hit. */
#ifndef TD_STORE_SEGMENT_H
#define TD_STORE_SEGMENT_H

#include "bits/bits.h"

enum {
    TD_SEGMENT_VERSION = 1,
    TD_SEGMENT_HEAD = 512, /* where the first record starts */
    TD_SEGMENT_SECTOR = 512,
    TD_RECORD_HEAD = 16,
    TD_COMMIT_LEAST = 24,     /* a commit record with no zeros */
    TD_SEGMENT_RESERVE = 1024 /* kept free for the last commit record */
};

enum td_record_kind {
    TD_RECORD_ROWS = 1,      /* rows.h */
    TD_RECORD_HEAD_ROWS = 4, /* all rows of one head, again; on replay it replaces the head */
    TD_RECORD_COMMIT = 5,
    TD_RECORD_STATE = 16,      /* a batch of the state map, state.h */
    TD_RECORD_STATE_PART = 17, /* a batch too long for one record: varint index | bytes */
    TD_RECORD_STATE_END = 18   /* the same; its last part */
};

struct td_segment_head {
    uint64_t number;    /* 1, 2, 3..; file NN is number % count */
    uint64_t first_lsn; /* of offset 0 */
    uint64_t prev_end;  /* LSN where the segment before ended; 0: there is none */
    uint64_t keep;      /* the oldest segment that was still needed when this one was entered */
    uint32_t bytes;
};

struct td_record {
    uint8_t kind;
    uint64_t lsn; /* of its first byte */
    uint64_t end; /* the LSN behind it */
    td_slice payload;
};

/* Writes TD_SEGMENT_HEAD bytes. */
void td_segment_head_encode(const struct td_segment_head *head, uint8_t *out);
/* From the first TD_SEGMENT_HEAD bytes of a file; one good copy is enough. TD_ECORRUPT: none is.
 * TD_EUNSUPPORTED: a later version. */
enum td_err td_segment_head_decode(td_slice in, struct td_segment_head *out);

/* Fills the record head in front of a payload that already stands at record + TD_RECORD_HEAD. */
void td_record_seal(uint8_t *record, uint64_t segment, uint8_t kind, uint64_t lsn, size_t len);

struct td_segment_reader {
    td_slice bytes; /* the whole file, borrowed */
    struct td_segment_head head;
    size_t at, limit;
    bool newest;         /* nothing is known to follow: a torn commit ends it */
    uint64_t damaged;    /* places found bad so far */
    uint64_t bad_lsn;    /* where the last of them is */
    uint64_t proven_lsn; /* all before it was durable once */
};

/* `end_lsn`: where the next segment's head says this one ended; 0: unknown, it is the newest. */
void td_segment_read(struct td_segment_reader *r, td_slice bytes,
                     const struct td_segment_head *head, uint64_t end_lsn);
/* The next record (never a commit record); false at the end. */
bool td_segment_next(struct td_segment_reader *r, struct td_record *out);

#endif
