#include "base/mailbox.h"
#include "base/clock.h"
#include "support/test.h"

#include <poll.h>
#include <pthread.h>

static bool is_readable(const struct mailbox *box)
{
    struct pollfd p = {.fd = mailbox_fd(box), .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

TEST(first_in_first_out_around_the_ring)
{
    struct mailbox *box = NULL;
    uint32_t sent = 0;
    uint32_t received = 0;
    uint32_t item = 0;

    EXPECT_OK(mailbox_create(sizeof(uint32_t), 3, &box));
    for (int round = 0; round < 10; round++) {
        while (mailbox_count(box) < 3) {
            EXPECT_OK(mailbox_try_send(box, &sent));
            sent++;
        }
        EXPECT_STATUS(mailbox_try_send(box, &sent), E_LIMIT);
        for (int i = 0; i < 2; i++) {
            EXPECT_OK(mailbox_try_receive(box, &item));
            EXPECT_EQ_U32(item, received);
            received++;
        }
    }
    mailbox_destroy(box);
}

TEST(the_fd_is_readable_exactly_while_items_wait)
{
    struct mailbox *box = NULL;
    char item = 'x';

    EXPECT_OK(mailbox_create(1, 2, &box));
    EXPECT_FALSE(is_readable(box));
    EXPECT_OK(mailbox_try_send(box, &item));
    EXPECT_TRUE(is_readable(box));
    EXPECT_OK(mailbox_try_send(box, &item));
    EXPECT_OK(mailbox_try_receive(box, &item));
    EXPECT_TRUE(is_readable(box));
    EXPECT_OK(mailbox_try_receive(box, &item));
    EXPECT_FALSE(is_readable(box));
    EXPECT_STATUS(mailbox_try_receive(box, &item), E_AGAIN);
    mailbox_destroy(box);
}

TEST(close_lets_the_receiver_drain)
{
    struct mailbox *box = NULL;
    int item = 5;

    EXPECT_OK(mailbox_create(sizeof(int), 2, &box));
    EXPECT_OK(mailbox_try_send(box, &item));
    mailbox_close(box);
    EXPECT_STATUS(mailbox_try_send(box, &item), E_CLOSED);
    item = 0;
    EXPECT_OK(mailbox_receive(box, UINT32_MAX, &item));
    EXPECT_EQ_INT(item, 5);
    EXPECT_STATUS(mailbox_receive(box, UINT32_MAX, &item), E_CLOSED);
    EXPECT_STATUS(mailbox_try_receive(box, &item), E_CLOSED);
    mailbox_destroy(box);
    mailbox_destroy(NULL);
}

TEST(receive_waits_no_longer_than_asked)
{
    struct mailbox *box = NULL;
    uint64_t begin_ns;
    int item;

    EXPECT_OK(mailbox_create(sizeof(int), 1, &box));
    begin_ns = kontor_clock_now_ns(&kontor_clock_system);
    EXPECT_STATUS(mailbox_receive(box, 30, &item), E_TIMEOUT);
    EXPECT_TRUE(kontor_clock_now_ns(&kontor_clock_system) - begin_ns >= 30000000);
    EXPECT_STATUS(mailbox_receive(box, 0, &item), E_TIMEOUT);
    mailbox_destroy(box);
}

#define N_SENDERS 4
#define N_PER_SENDER 20000u

struct sender {
    struct mailbox *box;
    uint32_t id;
    pthread_t thread;
};

static void *send_all(void *arg)
{
    struct sender *s = arg;

    for (uint32_t i = 0; i < N_PER_SENDER; i++) {
        uint64_t item = (uint64_t)s->id << 32 | i;

        while (mailbox_try_send(s->box, &item) != OK) {
            sched_yield();
        }
    }
    return NULL;
}

/* Nothing is lost, doubled or overtaken; a waiting receiver is always woken. */
TEST(many_senders_one_receiver)
{
    struct sender senders[N_SENDERS];
    struct mailbox *box = NULL;
    uint32_t next[N_SENDERS] = {0};

    EXPECT_OK(mailbox_create(sizeof(uint64_t), 16, &box));
    for (uint32_t i = 0; i < N_SENDERS; i++) {
        senders[i] = (struct sender){.box = box, .id = i};
        EXPECT_EQ_INT(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
    }
    for (uint32_t i = 0; i < N_SENDERS * N_PER_SENDER; i++) {
        uint64_t item = 0;

        EXPECT_OK(mailbox_receive(box, 10000, &item));
        EXPECT_TRUE(item >> 32 < N_SENDERS);
        EXPECT_EQ_U32((uint32_t)item, next[item >> 32]);
        next[item >> 32]++;
    }
    for (uint32_t i = 0; i < N_SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
    }
    EXPECT_EQ_U32(mailbox_count(box), 0);
    EXPECT_FALSE(is_readable(box));
    mailbox_destroy(box);
}

static void *close_soon(void *arg)
{
    struct timespec ts = {.tv_nsec = 20000000};

    nanosleep(&ts, NULL);
    mailbox_close(arg);
    return NULL;
}

TEST(close_wakes_a_waiting_receiver)
{
    struct mailbox *box = NULL;
    pthread_t thread;
    int item;

    EXPECT_OK(mailbox_create(sizeof(int), 1, &box));
    EXPECT_EQ_INT(pthread_create(&thread, NULL, close_soon, box), 0);
    EXPECT_STATUS(mailbox_receive(box, UINT32_MAX, &item), E_CLOSED);
    pthread_join(thread, NULL);
    mailbox_destroy(box);
}
