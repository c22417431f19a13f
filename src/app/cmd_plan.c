#include "app/cmd_plan.h"
#include "app/command.h"
#include "base/check.h"
#include "base/json.h"
#include "doctor/sizing.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ARENA_BYTES_MAX (1 << 20)
#define OUT_BYTES_MAX (1 << 20)
#define CARDS_MAX 4096

static const struct option options[] = {
    {"model", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "DIR|NAME",
     "Checkpoint folder (only its config.json is read) or a published model's name; `list` "
     "prints them.",
     NULL, NULL, 0, 0},
    {"device", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "CARD:N",
     "Card and how many, for example 910b:4; `list` prints the cards.", NULL, NULL, 0, 0},
    {"max-model-len", NULL, OPTION_COUNT, OPTION_HONOUR, NULL, "N",
     "Longest context in tokens. Default: the model's.", NULL, NULL, 0, 0},
    {"concurrency", NULL, OPTION_COUNT, OPTION_HONOUR, "1", "N",
     "Sequences of that length at once.", NULL, NULL, 1, 100000},
    {"weight-bits", NULL, OPTION_COUNT, OPTION_HONOUR, "16", "BITS", "Of the matrices: 16, 8 or 4.",
     NULL, NULL, 4, 16},
    {"gpu-memory-utilization", NULL, OPTION_FRACTION, OPTION_HONOUR, "0.92", "SHARE",
     "Share of a card's memory that may be used.", NULL, NULL, 0.01, 1},
    {"tensor-parallel-size", "tp", OPTION_COUNT, OPTION_HONOUR, NULL, "N",
     "Default: as many of the cards as divide the heads.", NULL, NULL, 1, CARDS_MAX},
    {"json", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL, "Print JSON.", NULL, NULL, 0, 0},
};

const struct option_set cmd_plan_options = {
    .usage = "kontor plan --model DIR|NAME --device CARD:N [options]",
    .about =
        "Memory per rank, parallel layout and best-case speed of a GLM model on accelerators.\n"
        "Arithmetic from shapes and data sheets; nothing here was measured on these cards.",
    .options = options,
    .n_options = ARRAY_COUNT(options),
    .epilog =
        "example:\n"
        "  kontor plan --model glm-4-9b-chat --device 910b:4 --max-model-len 8192 \\\n"
        "    --concurrency 32\n"
        "exit codes: 0 fits, 1 does not fit or cannot be planned (the message says why), 2 wrong "
        "usage",
};

static void list_models(void)
{
    for (uint32_t i = 0; i < shape_count(); i++) {
        const struct shape *s = shape_at(i);

        printf("%-18s %-14s %8.1f billion parameters, %u positions\n", s->name, s->model_type,
               (double)sizing_parameters(s) / 1e9, s->max_positions);
    }
}

static void list_cards(void)
{
    for (uint32_t i = 0; i < card_count(); i++) {
        const struct card *c = card_at(i);

        printf("%-15s %-32s %5.0f GB %6.0f GB/s %6.0f TFLOPS%s (%s)\n", c->name, c->title,
               c->memory_gb, c->bandwidth_gbs, c->tflops_16, c->bf16 ? "" : ", no bf16", c->source);
    }
    printf("0: not known. The last column says where the figures come from; none was measured "
           "here.\n");
}

/* "910b:4" */
static enum status read_device(const char *word, struct sizing_request *r, struct error *err)
{
    struct str all = str_from_c(word);
    size_t colon = str_find_byte(all, ':', 0);
    uint64_t n = 1;

    if (colon != SIZE_MAX &&
        (str_to_u64(str_slice(all, colon + 1, all.len), &n) != OK || n == 0 || n > CARDS_MAX)) {
        return error_set(err, E_INVALID,
                         "--device is CARD:N with N from 1 to %d, for example 910b:4, not \"%s\"",
                         CARDS_MAX, word);
    }
    r->n_cards = (uint32_t)n;
    return card_find(str_slice(all, 0, colon), &r->card, err);
}

static enum status read_request(const struct option_values *v, struct sizing_request *r,
                                struct error *err)
{
    const char *model = option_string(v, "model");
    uint64_t len = option_count(v, "max-model-len");
    uint64_t bits = option_count(v, "weight-bits");
    struct stat st;
    enum status rc;

    if (model == NULL || option_string(v, "device") == NULL) {
        return error_set(err, E_INVALID, "name --model and --device (`list` prints what is known)");
    }
    if (bits != 16 && bits != 8 && bits != 4) {
        return error_set(err, E_INVALID, "--weight-bits is 16, 8 or 4");
    }
    rc = stat(model, &st) == 0 ? shape_read(model, &r->shape, err)
                               : shape_find(str_from_c(model), &r->shape, err);
    if (rc != OK) {
        return rc;
    }
    r->max_model_len = len > UINT32_MAX ? UINT32_MAX : (uint32_t)len;
    r->concurrency = (uint32_t)option_count(v, "concurrency"); // the table bounds these three
    r->tp = (uint32_t)option_count(v, "tensor-parallel-size");
    r->weight_bits = (uint32_t)bits;
    r->memory_fraction = option_fraction(v, "gpu-memory-utilization");
    return read_device(option_string(v, "device"), r, err);
}

static uint32_t length(const struct sizing_request *r)
{
    return r->max_model_len != 0 ? r->max_model_len : r->shape.max_positions;
}

static void print_bytes(const char *what, uint64_t bytes, const char *remark)
{
    printf("  %-22s %18" PRIu64 "  %9.2f GB  %s\n", what, bytes, (double)bytes / 1e9, remark);
}

static void print_flags(const struct sizing_request *r, const struct sizing *z)
{
    const char *dtype = r->card->bf16 ? "bfloat16" : "float16";

    printf("\nvLLM (with the vendor's plug-in):\n  vllm serve DIR --tensor-parallel-size %u",
           z->tp);
    if (z->pp > 1) {
        printf(" --pipeline-parallel-size %u", z->pp);
    }
    printf(" --dtype %s --max-model-len %u --max-num-seqs %u --gpu-memory-utilization %g%s\n",
           dtype, length(r), r->concurrency, r->memory_fraction,
           z->expert_parallel ? " --enable-expert-parallel" : "");
    printf("Kontor (CPU today, one device):\n"
           "  kontor serve DIR --max-model-len %u --max-num-seqs %u\n",
           length(r), r->concurrency);
    if (!r->card->bf16) {
        printf("\nwarning: this card has no bfloat16, and GLM-4-0414 activations overflow float16 "
               "(answers "
               "turn into \"!!!!\"). Take another card for these models.\n");
    }
}

static void print_speed(const char *what, double tokens_s, const char *remark)
{
    if (tokens_s > 0) {
        printf("  %-22s %18.0f  tokens/s      %s\n", what, tokens_s, remark);
    } else {
        printf("  %-22s %18s                %s\n", what, "unknown",
               "the card's figures are not known");
    }
}

static void print_table(const struct sizing_request *r, const struct sizing *z)
{
    printf("%s on %u x %s: tensor parallel %u, pipeline %u%s\n", r->shape.name, r->n_cards,
           r->card->title, z->tp, z->pp, z->expert_parallel ? ", experts whole per rank" : "");
    printf("%.3f billion parameters, %.3f billion active per token, weights in %u bits\n\n",
           (double)z->parameters / 1e9, (double)z->active_parameters / 1e9, r->weight_bits);
    printf("bytes per rank\n");
    print_bytes("weights", z->weight_bytes, "");
    print_bytes("KV per token", z->kv_bytes_per_token, "");
    print_bytes("KV per sequence", z->kv_bytes_sequence, "");
    print_bytes("KV of all sequences", z->kv_bytes, "");
    print_bytes("runtime, activations", z->reserve_bytes, "an estimate");
    print_bytes("needed", z->needed_bytes, "");
    print_bytes("allowed", z->allowed_bytes, r->card->source);
    printf("\nfits: %u sequences of %u tokens, or %u sequences of %u tokens\n\n",
           z->fitting_sequences, length(r), r->concurrency, z->fitting_len);
    printf(
        "ceilings (full bandwidth and arithmetic, no communication; 60 %% is good in practice)\n");
    print_speed("decode", z->decode_tokens_s, "all sequences at full length together");
    print_speed("prefill", z->prefill_tokens_s, "");
    print_flags(r, z);
}

static void print_json(const struct sizing_request *r, const struct sizing *z, const char *problem)
{
    struct buf out;

    buf_init(&out, OUT_BYTES_MAX);
    buf_append_c(&out, "{\"model\": ");
    json_write_string(&out, str_from_c(r->shape.name));
    buf_printf(&out,
               ", \"device\": \"%s\", \"cards\": %u, \"tensor_parallel\": %u, "
               "\"pipeline_parallel\": %u, \"expert_parallel\": %s, ",
               r->card->name, r->n_cards, z->tp, z->pp, z->expert_parallel ? "true" : "false");
    buf_printf(&out, "\"parameters\": %" PRIu64 ", \"active_parameters\": %" PRIu64 ", ",
               z->parameters, z->active_parameters);
    buf_printf(&out,
               "\"weight_bytes\": %" PRIu64 ", \"kv_bytes_per_token\": %" PRIu64
               ", \"kv_bytes_sequence\": %" PRIu64 ", \"kv_bytes\": %" PRIu64
               ", \"reserve_bytes\": %" PRIu64 ", ",
               z->weight_bytes, z->kv_bytes_per_token, z->kv_bytes_sequence, z->kv_bytes,
               z->reserve_bytes);
    buf_printf(&out,
               "\"needed_bytes\": %" PRIu64 ", \"allowed_bytes\": %" PRIu64
               ", \"shortfall_bytes\": %" PRIu64
               ", \"fitting_sequences\": %u, \"fitting_len\": %u, ",
               z->needed_bytes, z->allowed_bytes, z->shortfall_bytes, z->fitting_sequences,
               z->fitting_len);
    buf_append_c(&out, "\"decode_tokens_s\": ");
    json_write_double(&out, z->decode_tokens_s, false);
    buf_append_c(&out, ", \"prefill_tokens_s\": ");
    json_write_double(&out, z->prefill_tokens_s, false);
    buf_append_c(&out, ", \"problem\": ");
    if (problem != NULL) {
        json_write_string(&out, str_from_c(problem));
    } else {
        buf_append_c(&out, "null");
    }
    buf_append_c(&out, "}\n");
    CHECK(buf_status(&out) == OK);
    fwrite(out.ptr, 1, out.len, stdout);
    buf_done(&out);
}

static bool asks_for_list(const char *word)
{
    return word != NULL && strcmp(word, "list") == 0;
}

static int plan(const struct option_values *v)
{
    struct sizing_request r = {0};
    struct sizing z = {0};
    struct error err = {0};
    enum status rc;

    if (asks_for_list(option_string(v, "model")) || asks_for_list(option_string(v, "device"))) {
        if (asks_for_list(option_string(v, "model"))) {
            list_models();
        } else {
            list_cards();
        }
        return EXIT_CODE_OK;
    }
    rc = read_request(v, &r, &err);
    if (rc != OK) {
        command_failed("plan", err.text);
        return rc == E_INVALID ? EXIT_CODE_USAGE : EXIT_CODE_FAILED;
    }
    rc = sizing_compute(&r, &z, &err);
    if (rc != OK && rc != E_LIMIT) {
        command_failed("plan", err.text);
        return EXIT_CODE_USAGE;
    }
    if (option_flag(v, "json")) {
        print_json(&r, &z, rc == OK ? NULL : err.text);
    } else {
        print_table(&r, &z);
    }
    return rc == OK ? EXIT_CODE_OK : command_failed("plan", err.text);
}

int cmd_plan_run(int argc, char **argv)
{
    return command_run(&cmd_plan_options, argc, argv, ARENA_BYTES_MAX, plan);
}
