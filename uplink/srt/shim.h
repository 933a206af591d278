// Thin layer over libsrt: each function is one crossing from Go, waits for
// nothing (q_accept excepted) and brings libsrt's error of the calling thread
// back with its result.
#ifndef QUARTET_SRT_SHIM_H
#define QUARTET_SRT_SHIM_H

#include <stdint.h>
#include <srt/srt.h>

// Result of a call: n is the count or value, err libsrt's error code (0 = none),
// sys the system's errno behind it.
typedef struct {
	int32_t n;
	int32_t err;
	int32_t sys;
} q_ret;

// An address without pointers. family: 0 none, 4 or 6; ip in network order.
typedef struct {
	uint8_t ip[16];
	uint32_t scope;
	uint16_t port;
	uint16_t family;
} q_addr;

typedef struct {
	int32_t n;
	int32_t err;
	int32_t sys;
	q_addr peer;
} q_accepted;

q_ret q_bind(SRTSOCKET s, q_addr a);
q_ret q_connect(SRTSOCKET s, q_addr a);
q_ret q_listen(SRTSOCKET s, int backlog);
q_accepted q_accept(SRTSOCKET s);
q_ret q_close(SRTSOCKET s);
q_addr q_sockname(SRTSOCKET s);
q_addr q_peername(SRTSOCKET s);
q_ret q_set_bool(SRTSOCKET s, int opt, int v);
q_ret q_get_int(SRTSOCKET s, int opt);
q_ret q_get_str(SRTSOCKET s, int opt, char *buf, int32_t size);

// Sends n messages that lie back to back in buf, len[i] bytes each. Stops at the
// first that is not taken; n of the result counts those before it. age[i] is by
// how many microseconds the message is late, 0 for now.
q_ret q_send(SRTSOCKET s, const char *buf, const int32_t *len, const int64_t *age, int32_t n);

// Receives up to max messages whose time has come: message i lies at buf + i*slot
// and is len[i] long; late[i] is how many microseconds ago it was due. The error
// is 0 when there is no more for now.
q_ret q_recv(SRTSOCKET s, char *buf, int32_t slot, int32_t max, int32_t *len, int64_t *late);

// Statistics without clearing any counter; instantaneous buffer levels.
q_ret q_stats(SRTSOCKET s, SRT_TRACEBSTATS *out);

// Messages of libsrt at the given level and above go to Go, at most per_second.
void q_log_on(int level, int per_second);
void q_log_off(void);

// q_arenas keeps the C library from making a heap for each thread.
void q_arenas(void);
int64_t q_log_dropped(void);

#endif
