/* console.h - the page to chat in a browser, built in from share/console/index.html. */
#ifndef GATEWAY_CONSOLE_H
#define GATEWAY_CONSOLE_H

#include "base/str.h"

/** Bytes of the page; static. */
struct str console_page(void);

#endif
