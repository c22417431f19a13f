/* POST /tokenize and /detokenize.  Bodies are read in the loop, the engine's tokenizer runs on the
 * worker.  The request spellings of vLLM, llama-server and SGLang are understood. */
#include "gateway/answer_internal.h"
#include "gateway/gateway_internal.h"

#include <stdio.h>

#define TEXT_BYTES_MAX (64U << 20)
#define TOKENS_MAX (8U << 20)

struct token_job {
    struct call *call;
    struct chat_request request; // messages, when render
    bool render;                 // the prompt comes from messages
    bool add_special;
    bool token_strings; // answer with token_strs too
    struct str text;    // to encode
    int32_t *ids;       // [n_ids] to decode
    uint32_t n_ids;
    /* the worker's results */
    struct buf out; // ids, or text
    enum status rc;
    struct chat_failure failure;
};

static enum stage_verdict not_ready(struct call *call)
{
    return call_unavailable(call, "model_loading", 5,
                            "The model is still loading. Try again in a few seconds.");
}

static enum stage_verdict post(struct call *call, struct token_job *job, void (*work)(void *),
                               void (*done)(void *))
{
    const struct worker_job w = {work, done, job};

    buf_init(&job->out, TEXT_BYTES_MAX);
    if (worker_post(call->gw->worker, &w) != OK) {
        return call_unavailable(call, "server_is_overloaded", 1,
                                "The server is currently overloaded. Try again in a moment.");
    }
    return STAGE_WAIT;
}

static enum stage_verdict no_memory(struct call *call)
{
    return call_refuse(call, 413, "request_too_large", NULL,
                       "The request needs more memory than one request may have.");
}

static struct token_job *job_create(struct call *call)
{
    struct token_job *job = arena_zalloc(call->arena, 1, sizeof(*job));

    if (job != NULL) {
        job->call = call;
    }
    return job;
}

/* The body of a token request, checked for model and readiness.  NULL: refused already. */
static const struct json_value *read_body(struct call *call)
{
    const struct json_value *root;
    struct str model;

    if (stage_read_json(call, &root) != OK) {
        return NULL;
    }
    if (root->kind != JSON_OBJECT) {
        (void)call_refuse(call, 400, "invalid_type", NULL,
                          "The request body must be a JSON object.");
        return NULL;
    }
    model = json_string_or(json_get(root, STR("model")), (struct str){NULL, 0});
    if (!stage_read_model_known(call, model)) {
        (void)stage_read_refuse_model(call, model);
        return NULL;
    }
    if (call->gw->engine == NULL) {
        (void)not_ready(call);
        return NULL;
    }
    return root;
}

/* --- tokenize --- */

static void tokenize_work(void *user)
{
    struct token_job *job = user;
    struct engine *engine = job->call->gw->engine;
    struct buf text;

    if (!job->render) {
        job->rc = engine_tokenize(engine, job->text, job->add_special, &job->out, &job->failure);
        return;
    }
    buf_init(&text, TEXT_BYTES_MAX);
    job->rc = engine_render(engine, &job->request, &text, &job->failure);
    if (job->rc == OK) {
        job->rc =
            engine_tokenize(engine, buf_str(&text), job->add_special, &job->out, &job->failure);
    }
    buf_done(&text);
}

static void put_ids(struct buf *out, const int32_t *ids, size_t n)
{
    buf_append_byte(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            buf_append_byte(out, ',');
        }
        json_write_i64(out, ids[i]);
    }
    buf_append_byte(out, ']');
}

static void put_token_strings(struct buf *out, struct call *call, const int32_t *ids, size_t n)
{
    buf_append_byte(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            buf_append_byte(out, ',');
        }
        json_write_string(out, engine_token_text(call->gw->engine, ids[i]));
    }
    buf_append_byte(out, ']');
}

static void tokenize_done(void *user)
{
    struct token_job *job = user;
    struct call *call = job->call;
    struct buf *out = &call->gw->scratch;
    const int32_t *ids = (const int32_t *)(const void *)job->out.ptr;
    const size_t n = job->out.len / sizeof(*ids);

    if (job->rc != OK) {
        buf_done(&job->out);
        pipeline_resume(call, call_refuse_with(call, &job->failure));
        return;
    }
    buf_reset(out);
    buf_printf(out, "{\"count\":%zu,\"max_model_len\":%u,\"tokens\":", n,
               engine_model(call->gw->engine)->max_model_len);
    put_ids(out, ids, n);
    buf_append_str(out, STR(",\"token_strs\":"));
    if (job->token_strings) {
        put_token_strings(out, call, ids, n);
    } else {
        buf_append_str(out, STR("null"));
    }
    buf_append_byte(out, '}');
    call_reply(call, 200, "application/json", buf_str(out));
    buf_done(&job->out);
    pipeline_resume(call, STAGE_NEXT);
}

static enum stage_verdict read_chat(struct call *call, struct token_job *job,
                                    const struct json_value *root)
{
    const struct json_value *tools = json_get(root, STR("tools"));
    const struct json_value *kwargs = json_get(root, STR("chat_template_kwargs"));

    if (chat_json_read_messages(call->arena, json_get(root, STR("messages")),
                                &job->request.messages, &job->failure) != OK) {
        return call_refuse_with(call, &job->failure);
    }
    job->render = true;
    job->add_special = json_bool_or(json_get(root, STR("add_special_tokens")), false);
    job->request.prompt_kind = CHAT_PROMPT_MESSAGES;
    job->request.tools = tools != NULL && tools->kind == JSON_ARRAY ? tools : NULL;
    job->request.template_kwargs = kwargs != NULL && kwargs->kind == JSON_OBJECT ? kwargs : NULL;
    job->request.add_generation_prompt =
        json_bool_or(json_get(root, STR("add_generation_prompt")), true);
    return STAGE_NEXT;
}

static enum stage_verdict read_text(struct call *call, struct token_job *job,
                                    const struct json_value *root)
{
    const struct json_value *text = json_get(root, STR("prompt"));
    const bool llama = text == NULL;

    if (llama) {
        text = json_get(root, STR("content"));
    }
    if (text == NULL) {
        return call_refuse(call, 400, "missing_required_parameter", "prompt",
                           "Missing required parameter: 'prompt' (or 'messages').");
    }
    if (text->kind != JSON_STRING) {
        return call_refuse(call, 400, "invalid_type", "prompt",
                           "Invalid type for 'prompt': expected a string, but got %s instead.",
                           json_kind_name(text->kind));
    }
    job->text = text->string;
    job->add_special = llama ? json_bool_or(json_get(root, STR("add_special")), false)
                             : json_bool_or(json_get(root, STR("add_special_tokens")), true);
    return STAGE_NEXT;
}

enum stage_verdict answer_tokens_encode(struct call *call)
{
    const struct json_value *root = read_body(call);
    struct token_job *job;
    enum stage_verdict verdict;

    if (root == NULL) {
        return STAGE_STOP;
    }
    job = job_create(call);
    if (job == NULL) {
        return no_memory(call);
    }
    job->token_strings = json_bool_or(json_get(root, STR("return_token_strs")), false);
    verdict = json_get(root, STR("messages")) != NULL ? read_chat(call, job, root)
                                                      : read_text(call, job, root);
    return verdict == STAGE_NEXT ? post(call, job, tokenize_work, tokenize_done) : verdict;
}

/* --- detokenize --- */

static void detokenize_work(void *user)
{
    struct token_job *job = user;

    job->rc =
        engine_detokenize(job->call->gw->engine, job->ids, job->n_ids, &job->out, &job->failure);
}

/* The text under the names of vLLM, llama-server and SGLang. */
static void detokenize_done(void *user)
{
    static const char *const keys[] = {"{\"prompt\":", ",\"content\":", ",\"text\":"};
    struct token_job *job = user;
    struct call *call = job->call;
    struct buf *out = &call->gw->scratch;

    if (job->rc != OK) {
        buf_done(&job->out);
        pipeline_resume(call, call_refuse_with(call, &job->failure));
        return;
    }
    buf_reset(out);
    for (size_t i = 0; i < 3; i++) {
        buf_append_c(out, keys[i]);
        json_write_string(out, buf_str(&job->out));
    }
    buf_append_byte(out, '}');
    call_reply(call, 200, "application/json", buf_str(out));
    buf_done(&job->out);
    pipeline_resume(call, STAGE_NEXT);
}

static enum stage_verdict read_ids(struct call *call, struct token_job *job,
                                   const struct json_value *tokens)
{
    if (tokens == NULL) {
        return call_refuse(call, 400, "missing_required_parameter", "tokens",
                           "Missing required parameter: 'tokens'.");
    }
    if (tokens->kind != JSON_ARRAY || tokens->n_items > TOKENS_MAX) {
        return call_refuse(call, 400, "invalid_type", "tokens",
                           "Invalid type for 'tokens': expected an array of integers.");
    }
    job->ids = arena_zalloc(call->arena, tokens->n_items, sizeof(*job->ids));
    if (job->ids == NULL) {
        return no_memory(call);
    }
    for (uint32_t i = 0; i < tokens->n_items; i++) {
        const struct json_value *v = &tokens->items[i];

        if (v->kind != JSON_INT || v->integer < 0 || v->integer > INT32_MAX) {
            char path[40];

            snprintf(path, sizeof(path), "tokens[%u]", i);
            return call_refuse(call, 400, "invalid_type", path,
                               "Invalid type for '%s': expected a token id.", path);
        }
        job->ids[i] = (int32_t)v->integer;
    }
    job->n_ids = tokens->n_items;
    return STAGE_NEXT;
}

enum stage_verdict answer_tokens_decode(struct call *call)
{
    const struct json_value *root = read_body(call);
    struct token_job *job;
    enum stage_verdict verdict;

    if (root == NULL) {
        return STAGE_STOP;
    }
    job = job_create(call);
    if (job == NULL) {
        return no_memory(call);
    }
    verdict = read_ids(call, job, json_get(root, STR("tokens")));
    return verdict == STAGE_NEXT ? post(call, job, detokenize_work, detokenize_done) : verdict;
}
