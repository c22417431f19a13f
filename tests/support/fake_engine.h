/* fake_engine.h - an engine without a model, for tests of the gateway.
 *
 * Metrics: vllm:num_requests_running and _waiting as the real engine has them, and fake_cancels.
 *
 * Implements engine/engine.h with one thread that "generates" one token per step for each running
 * request: the words of the last user message.  Words with '!' at its beginning are commands:
 *
 *   !count N      N tokens "w0 " "w1 " ...
 *   !bytes N      each of them N bytes long
 *   !delay MS     between the tokens of this request
 *   !hang         START, then nothing until cancelled
 *   !mute         not even START
 *   !refuse       400 context_length_exceeded before START
 *   !break N      500 after N tokens
 *   !quit N       ends with finish abort after N tokens
 *   !full         submit says LIMIT
 *   !closed       submit says CLOSED
 *   !dead         the engine has failed from now on
 *   !reason N     the first N tokens are reasoning
 *   !stubborn     heeds a cancel only after 300 ms
 *   !deaf         never heeds a cancel
 */
#ifndef TESTS_SUPPORT_FAKE_ENGINE_H
#define TESTS_SUPPORT_FAKE_ENGINE_H

#include <stdint.h>

struct fake_engine_options {
    uint32_t step_us;  // between steps; 0: 2000
    uint32_t load_ms;  // engine_create takes that long
    const char *fault; // not NULL: engine_create fails with this text
};

/** Before engine_create.  Copied. */
void fake_engine_setup(const struct fake_engine_options *options);

#endif
