/* permit.h - how a permit to send is made.
 *
 * Bytes leave this process through net/egress.c only, and egress wants a permit: who allowed it, up
 * to which label, for what purpose.  Only gateway/policy*.c and app/ (for an operator's own
 * commands) may include this header; everybody else gets a permit passed in.
 */
#ifndef NET_PERMIT_H
#define NET_PERMIT_H

#include "base/label.h"

struct permit {
    enum label ceiling;  // the strictest label that may go this way
    const char *purpose; // static: "chat", "health"; for records and messages
};

#endif
