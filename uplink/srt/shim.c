#define _GNU_SOURCE
#include "shim.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include "_cgo_export.h"

static q_ret result(int n) {
	q_ret r = {n, 0, 0};
	if (n < 0) {
		int sys = 0;
		r.err = srt_getlasterror(&sys);
		r.sys = sys;
		srt_clearlasterror();
	}
	return r;
}

static int to_sockaddr(q_addr a, struct sockaddr_storage *out) {
	memset(out, 0, sizeof *out);
	if (a.family == 4) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;
		in->sin_family = AF_INET;
		in->sin_port = htons(a.port);
		memcpy(&in->sin_addr, a.ip, 4);
		return sizeof *in;
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(a.port);
	in6->sin6_scope_id = a.scope;
	memcpy(&in6->sin6_addr, a.ip, 16);
	return sizeof *in6;
}

static q_addr from_sockaddr(const struct sockaddr_storage *sa) {
	q_addr a;
	memset(&a, 0, sizeof a);
	if (sa->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
		a.family = 4;
		a.port = ntohs(in->sin_port);
		memcpy(a.ip, &in->sin_addr, 4);
	} else if (sa->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
		a.family = 6;
		a.port = ntohs(in6->sin6_port);
		a.scope = in6->sin6_scope_id;
		memcpy(a.ip, &in6->sin6_addr, 16);
	}
	return a;
}

q_ret q_bind(SRTSOCKET s, q_addr a) {
	struct sockaddr_storage ss;
	int n = to_sockaddr(a, &ss);
	return result(srt_bind(s, (struct sockaddr *)&ss, n));
}

q_ret q_connect(SRTSOCKET s, q_addr a) {
	struct sockaddr_storage ss;
	int n = to_sockaddr(a, &ss);
	return result(srt_connect(s, (struct sockaddr *)&ss, n));
}

q_ret q_listen(SRTSOCKET s, int backlog) { return result(srt_listen(s, backlog)); }

q_accepted q_accept(SRTSOCKET s) {
	struct sockaddr_storage ss;
	int len = sizeof ss;
	memset(&ss, 0, sizeof ss);
	q_ret r = result(srt_accept(s, (struct sockaddr *)&ss, &len));
	q_accepted out = {r.n, r.err, r.sys, from_sockaddr(&ss)};
	return out;
}

q_ret q_close(SRTSOCKET s) { return result(srt_close(s)); }

q_addr q_sockname(SRTSOCKET s) {
	struct sockaddr_storage ss;
	int len = sizeof ss;
	memset(&ss, 0, sizeof ss);
	srt_getsockname(s, (struct sockaddr *)&ss, &len);
	return from_sockaddr(&ss);
}

q_addr q_peername(SRTSOCKET s) {
	struct sockaddr_storage ss;
	int len = sizeof ss;
	memset(&ss, 0, sizeof ss);
	srt_getpeername(s, (struct sockaddr *)&ss, &len);
	return from_sockaddr(&ss);
}

q_ret q_set_bool(SRTSOCKET s, int opt, int v) {
	int32_t value = v != 0;
	return result(srt_setsockopt(s, 0, (SRT_SOCKOPT)opt, &value, sizeof value));
}

// Some options are a bool of one byte, the others an int: both fit.
q_ret q_get_int(SRTSOCKET s, int opt) {
	int32_t value = 0;
	int len = sizeof value;
	q_ret r = result(srt_getsockopt(s, 0, (SRT_SOCKOPT)opt, &value, &len));
	if (r.n >= 0)
		r.n = len == 1 ? (value & 0xff) : value;
	return r;
}

q_ret q_get_str(SRTSOCKET s, int opt, char *buf, int32_t size) {
	int len = size;
	q_ret r = result(srt_getsockopt(s, 0, (SRT_SOCKOPT)opt, buf, &len));
	if (r.n >= 0)
		r.n = len;
	return r;
}

q_ret q_send(SRTSOCKET s, const char *buf, const int32_t *len, const int64_t *age, int32_t n) {
	const int64_t now = age ? srt_time_now() : 0;
	for (int32_t i = 0; i < n; i++) {
		SRT_MSGCTRL ctrl = srt_msgctrl_default;
		if (age && age[i] > 0) ctrl.srctime = now - age[i];
		q_ret r = result(srt_sendmsg2(s, buf, len[i], &ctrl));
		if (r.n < 0) {
			r.n = i;
			return r;
		}
		buf += len[i];
	}
	q_ret all = {n, 0, 0};
	return all;
}

q_ret q_recv(SRTSOCKET s, char *buf, int32_t slot, int32_t max, int32_t *len, int64_t *late) {
	q_ret out = {0, 0, 0};
	while (out.n < max) {
		SRT_MSGCTRL ctrl = srt_msgctrl_default;
		int32_t ready = 0;
		int ready_len = sizeof ready;
		if (srt_getsockopt(s, 0, SRTO_EVENT, &ready, &ready_len) == 0 && !(ready & (SRT_EPOLL_IN | SRT_EPOLL_ERR)))
			break;
		q_ret r = result(srt_recvmsg2(s, buf + (size_t)out.n * slot, slot, &ctrl));
		if (r.n < 0) {
			if (r.err != SRT_EASYNCRCV) {
				out.err = r.err;
				out.sys = r.sys;
			}
			break;
		}
		if (r.n == 0)
			break;
		len[out.n] = r.n;
		late[out.n] = ctrl.srctime;
		out.n++;
	}
	if (out.n > 0) {
		int64_t now = srt_time_now();
		for (int32_t i = 0; i < out.n; i++)
			late[i] = late[i] > 0 && late[i] < now ? now - late[i] : 0;
	}
	return out;
}

q_ret q_stats(SRTSOCKET s, SRT_TRACEBSTATS *out) { return result(srt_bistats(s, out, 0, 1)); }

// --- messages of libsrt ---

static int log_limit;
static int64_t log_second, log_count, log_drops;

static void on_log(void *opaque, int level, const char *file, int line, const char *area, const char *message) {
	(void)opaque;
	(void)file;
	(void)line;
	// Closing a listener ends its srt_accept; libsrt calls that an error.
	if (strstr(message, "srt_accept:") != NULL)
		return;
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	// libsrt calls its handler under a lock of its own; the atomics are for
	// q_log_dropped and for versions that do not.
	if (__atomic_exchange_n(&log_second, (int64_t)ts.tv_sec, __ATOMIC_RELAXED) != ts.tv_sec)
		__atomic_store_n(&log_count, 0, __ATOMIC_RELAXED);
	if (__atomic_add_fetch(&log_count, 1, __ATOMIC_RELAXED) > log_limit) {
		__atomic_add_fetch(&log_drops, 1, __ATOMIC_RELAXED);
		return;
	}
	quartetSRTLog(level, (char *)area, (char *)message);
}

void q_log_on(int level, int per_second) {
	log_limit = per_second;
	srt_setlogflags(SRT_LOGF_DISABLE_TIME | SRT_LOGF_DISABLE_THREADNAME | SRT_LOGF_DISABLE_SEVERITY | SRT_LOGF_DISABLE_EOL);
	srt_setloghandler(NULL, on_log);
	srt_setloglevel(level);
}

// libsrt has a handful of threads for each connection, and glibc gives each a
// heap of its own that is never given back: most of a megabyte each. Two serve
// all as well, because what packets need is taken once.
void q_arenas(void) {
#ifdef M_ARENA_MAX
	mallopt(M_ARENA_MAX, 2);
#endif
}

void q_log_off(void) { srt_setloghandler(NULL, NULL); }

int64_t q_log_dropped(void) { return __atomic_exchange_n(&log_drops, 0, __ATOMIC_RELAXED); }
