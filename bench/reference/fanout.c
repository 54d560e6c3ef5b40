/*
 * The C reference: what one core can do, and what the load client can read.
 *
 * It makes its messages itself, frames them once and writes the same bytes to each client: one
 * blocking send per client and batch. Saturated, a ping follows each batch to the last client, and
 * so many batches are under way as it has not answered: what is read must not come from far back in
 * memory, which costs the load client half its speed.
 *
 *   fanout <clients> <payload bytes> <messages per second, 0: saturated> <batch> <ms>
 *
 * It says {"port":<n>} when it listens, begins when so many clients are connected, and ends by
 * SIGTERM. The one key that it can answer is the example of RFC 6455 §1.3, which our load client sends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Stands before each payload, as long as in one of Spillway's frames; then a brace behind it. */
#define HEAD "{\"type\":\"data\",\"id\":\"000000000000:000000\",\"timestamp\":1700000000000,\"subject\":\"bench.load\",\"payload\":"
#define ANSWER "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

#define MOST_UNDER_WAY 3
#define PING "\x89\x00"
#define PONG_LENGTH 6 /* masked */

static int sockets[65536];
static int clients;

static uint64_t now_us(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (uint64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static int listen_anywhere(void) {
  struct rlimit files = {65536 + 64, 65536 + 64};
  if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (bind(listener, (void *)&address, length) < 0 || listen(listener, 4096) < 0) exit(1);
  getsockname(listener, (void *)&address, &length);
  printf("{\"port\":%d}\n", ntohs(address.sin_port));
  fflush(stdout);
  return listener;
}

static void accept_one(int listener) {
  int client = accept(listener, NULL, NULL), one = 1, length = 0;
  char request[4096] = "";
  if (client < 0) return;
  setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  while (!strstr(request, "\r\n\r\n")) {
    int more = recv(client, request + length, sizeof request - 1 - length, 0);
    if (more <= 0) { close(client); return; }
    request[length += more] = 0;
  }
  send(client, ANSWER, strlen(ANSWER), MSG_NOSIGNAL);
  sockets[clients++] = client;
}

/* Appends a text frame to a batch and returns its length. */
static size_t add_frame(char *at, int payload, uint64_t number) {
  int length = strlen(HEAD) + payload + 1, header = length < 126 ? 2 : 4;
  at[0] = (char)0x81;
  at[1] = (char)(header == 2 ? length : 126);
  if (header == 4) { at[2] = (char)(length >> 8); at[3] = (char)length; }
  int used = header + sprintf(at + header, HEAD "{\"t\":%lu,\"n\":%lu,\"d\":\"",
                              now_us(CLOCK_REALTIME), 10000000 + number);
  memset(at + used, 'x', header + length - used);
  memcpy(at + header + length - 3, "\"}}", 3);
  return header + length;
}

static void send_all(int client, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t sent = send(client, bytes, length, MSG_NOSIGNAL);
    if (sent <= 0) exit(1); /* A lost client ends the measurement: its figures would mean nothing. */
    bytes += sent;
    length -= sent;
  }
}

int main(int count, char **argument) {
  if (count != 6) return 2;
  int wanted = atoi(argument[1]), payload = atoi(argument[2]), batch = atoi(argument[4]), under_way = 0;
  double rate = atof(argument[3]);
  uint64_t lasts = (uint64_t)atoi(argument[5]) * 1000, sent = 0;
  char *frames = malloc((size_t)(payload + 256) * batch);
  int listener = listen_anywhere();
  while (clients < wanted) accept_one(listener);
  usleep(100000); /* The load client says that it is ready. */
  uint64_t start = now_us(CLOCK_MONOTONIC), now;
  while ((now = now_us(CLOCK_MONOTONIC)) < start + lasts) {
    int due = rate > 0 ? (int)((now - start) * 1e-6 * rate - sent) : batch;
    if (due <= 0) { usleep(200); continue; }
    size_t length = 0;
    for (int of = due < batch ? due : batch; of > 0; of--) length += add_frame(frames + length, payload, sent++);
    for (int client = 0; client < clients; client++) send_all(sockets[client], frames, length);
    if (rate > 0) continue;
    send_all(sockets[clients - 1], PING, strlen(PING) + 1);
    for (under_way++; under_way >= MOST_UNDER_WAY; under_way--) {
      char pong[PONG_LENGTH];
      if (recv(sockets[clients - 1], pong, sizeof pong, MSG_WAITALL) < PONG_LENGTH) return 1;
    }
  }
  pause();
}
