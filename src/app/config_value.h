/* config_value.h - how a configuration file writes durations, sizes, shares, money and addresses.
 *
 * Exact: no floating point.  Pure; any thread.
 */
#ifndef APP_CONFIG_VALUE_H
#define APP_CONFIG_VALUE_H

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* All: Errors: INVALID (another form), LIMIT (does not fit). */

/** "500ms", "2s", "10m", "1h", or "0" -> milliseconds. */
MUST_USE enum status config_value_ms(struct str s, uint64_t *ret_ms);
/** "65536", "64KiB", "8MiB", "1GiB", "2TiB", or decimal "64kB", "8MB", "1GB" -> bytes. */
MUST_USE enum status config_value_bytes(struct str s, uint64_t *ret_bytes);
/** "20%" -> 20. */
MUST_USE enum status config_value_percent(struct str s, uint64_t *ret_percent);
/** "500.00" -> nano-units (1e-9); at most 9 places, no sign, no exponent. */
MUST_USE enum status config_value_money(struct str s, int64_t *ret_nano);
/** Price of a million tokens, "0.42" -> nano-units per token; at most 3 places are exact. */
MUST_USE enum status config_value_price(struct str s, int64_t *ret_nano);
/** "127.0.0.1:8080", "[::1]:8080", "localhost:8080" -> host without brackets, port 1..65535. */
MUST_USE enum status config_value_address(struct str s, struct str *ret_host, uint16_t *ret_port);
/** "2026-08-01": a day of the calendar, year 2000 to 2999. */
bool config_value_is_day(struct str s);
/** Letters, digits, '.', '_', '-'; 1 to 64 of them. */
bool config_value_is_name(struct str s);
/** A token of RFC 9110, 1 to 64 bytes: what a header may be called. */
bool config_value_is_header(struct str s);

/** The way back: shortest text that reads as the same value. */
void config_value_write_ms(struct buf *out, uint64_t ms);
void config_value_write_bytes(struct buf *out, uint64_t bytes);
void config_value_write_money(struct buf *out, int64_t nano);
void config_value_write_price(struct buf *out, int64_t nano);

#endif
