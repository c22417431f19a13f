/* mailbox.h - bounded queue by which threads meet; wakes a loop through an eventfd.
 *
 * Any number of senders, one receiver.  Fixed-size items, copied in and out, first in first out.
 * States: open -> closed (senders get CLOSED, the receiver drains what is left).
 */
#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mailbox;

/** A mailbox for `cap` items of `item_bytes`.  All memory is taken here. */
MUST_USE enum status mailbox_create(size_t item_bytes, uint32_t cap, struct mailbox **ret_box);
void mailbox_destroy(struct mailbox *box);
/** Never blocks.  Errors: LIMIT when full, CLOSED. */
MUST_USE enum status mailbox_try_send(struct mailbox *box, const void *item);
/** Never blocks.  Errors: AGAIN when empty, CLOSED when empty and closed. */
MUST_USE enum status mailbox_try_receive(struct mailbox *box, void *ret_item);
/** Wait for an item up to `timeout_ms` (UINT32_MAX: for ever).  Errors: TIMEOUT, CLOSED. */
MUST_USE enum status mailbox_receive(struct mailbox *box, uint32_t timeout_ms, void *ret_item);
void mailbox_close(struct mailbox *box);
/** eventfd that is readable while items wait; for poll/libevent (level triggered).  Do not read
 * it. */
int mailbox_fd(const struct mailbox *box);
uint32_t mailbox_count(struct mailbox *box);

#endif
