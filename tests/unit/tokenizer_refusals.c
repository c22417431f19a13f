/* Files that are not what we can read: each gets a status and a message that names what was
 * found. */
#include "base/buf.h"
#include "support/test.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX ((size_t)1 << 28)

/* Read once: test_read_file keeps what it read until the program ends. */
static struct str json_file(void)
{
    static struct str text;

    if (text.ptr == NULL) {
        text = test_read_file(test_path("data/tokenizer/tokenizer.json"));
    }
    return text;
}

static struct str ranks_file(void)
{
    static struct str text;

    if (text.ptr == NULL) {
        text = test_read_file(test_path("data/tokenizer/tokenizer.model"));
    }
    return text;
}

static void replace_once(struct str text, const char *old, const char *new, struct buf *out)
{
    size_t at = str_find(text, str_from_c(old), 0);

    if (at == SIZE_MAX) {
        FAIL("the test looks for \"%s\", which the file does not have", old);
    }
    buf_append(out, text.ptr, at);
    buf_append_c(out, new);
    buf_append_str(out, str_slice(text, at + strlen(old), text.len));
}

/* The reference file with `old` replaced by `new`; NULL old: as it is. */
static enum status parse_edited(const char *old, const char *new, struct tokenizer **ret_tok,
                                struct error *err)
{
    struct str text = json_file();
    struct buf edited;
    enum status rc;

    buf_init(&edited, TEXT_MAX);
    replace_once(text, old, new, &edited);
    rc = tokenizer_parse(buf_str(&edited), ret_tok, err);
    buf_done(&edited);
    return rc;
}

static void expect_refused(const char *old, const char *new, enum status want, const char *needle)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    enum status rc = parse_edited(old, new, &t, &err);

    if (rc != want) {
        FAIL("with %s: %s (\"%s\"), expected %s", new, status_name(rc), err.text,
             status_name(want));
    }
    EXPECT_CONTAINS(err.text, needle);
    EXPECT_CONTAINS(err.text, "tokenizer.json");
    EXPECT_EQ_INT(err.status, want);
    EXPECT_TRUE(t == NULL);
}

TEST(another_algorithm_is_refused_by_name)
{
    expect_refused("\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}", E_UNSUPPORTED,
                   "NFC");
    expect_refused("\\\\p{N}{1,3}", "\\\\p{N}", E_UNSUPPORTED, "pre_tokenizer is");
    expect_refused("\"behavior\": \"Isolated\"", "\"behavior\": \"Removed\"", E_UNSUPPORTED,
                   "Removed");
    expect_refused("\"invert\": false", "\"invert\": true", E_UNSUPPORTED, "pre_tokenizer");
    expect_refused("\"use_regex\": false", "\"use_regex\": true", E_UNSUPPORTED, "pre_tokenizer");
    expect_refused("\"add_prefix_space\": false", "\"add_prefix_space\": true", E_UNSUPPORTED,
                   "pre_tokenizer");
    expect_refused("\"type\": \"Sequence\"", "\"type\": \"Metaspace\"", E_UNSUPPORTED, "Metaspace");
    expect_refused("\"decoder\": {\n    \"type\": \"ByteLevel\"",
                   "\"decoder\": {\n    \"type\": \"WordPiece\"", E_UNSUPPORTED, "WordPiece");
    expect_refused("\"decoder\":", "\"recorder\":", E_UNSUPPORTED, "decoder is missing");
    expect_refused("\"type\": \"BPE\"", "\"type\": \"Unigram\"", E_UNSUPPORTED, "Unigram");
    expect_refused("\"byte_fallback\": false", "\"byte_fallback\": true", E_UNSUPPORTED,
                   "byte_fallback");
    expect_refused("\"unk_token\": null", "\"unk_token\": \"<unk>\"", E_UNSUPPORTED, "<unk>");
    expect_refused("\"dropout\": null", "\"dropout\": 0.1", E_UNSUPPORTED, "dropout");
    expect_refused("\"end_of_word_suffix\": null", "\"end_of_word_suffix\": \"</w>\"",
                   E_UNSUPPORTED, "</w>");
    expect_refused("\"version\": \"1.0\"", "\"version\": \"2.0\"", E_UNSUPPORTED, "2.0");
    expect_refused("\"post_processor\": null", "\"post_processor\": {\"type\": \"BertProcessing\"}",
                   E_UNSUPPORTED, "BertProcessing");
    expect_refused("\"normalized\": false", "\"normalized\": true", E_UNSUPPORTED, "normalized");
    expect_refused("\"lstrip\": false", "\"lstrip\": true", E_UNSUPPORTED, "lstrip");
}

TEST(harmless_spellings_are_accepted)
{
    static const char *const edits[][2] = {
        {"\"dropout\": null", "\"dropout\": 0"},
        {"\"dropout\": null", "\"dropout\": 0.0"},
        {"\"continuing_subword_prefix\": null", "\"continuing_subword_prefix\": \"\""},
        {"    \"unk_token\": null,\n", ""},
        {"  \"normalizer\": null,\n", ""},
        {"  \"post_processor\": null,\n", ""},
        {"\"post_processor\": null", "\"post_processor\": {\"type\": \"ByteLevel\"}"},
        {"\"truncation\": null", "\"truncation\": {\"max_length\": 3}"},
        {"      \"special\": true\n", "      \"special\": true, \"new\": 1\n"},
        {"  \"version\"", "  \"future\": [1, {}], \"version\""},
    };

    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        struct tokenizer *t = NULL;
        struct error err = {0};

        if (parse_edited(edits[i][0], edits[i][1], &t, &err) != OK) {
            FAIL("with %s: %s", edits[i][1], err.text);
        }
        tokenizer_destroy(t);
    }
}

TEST(broken_vocabularies)
{
    expect_refused("\"!\": 0,", "\"!\": 1,", E_INVALID, "two tokens claim id 1");
    expect_refused("\"!\": 0,", "\"!\": 5000,", E_INVALID, "5000");
    expect_refused("\"!\": 0,", "\"!\": -1,", E_INVALID, "-1");
    expect_refused("\"!\": 0,", "\"!\": 1.5,", E_INVALID, "1.5");
    expect_refused("\"!\": 0,", "\"!\": \"0\",", E_INVALID, "\"0\"");
    expect_refused("\"!\": 0,", "\"!\": 99999999999999999999,", E_INVALID, "99999999999999999999");
    expect_refused("\"!\": 0,", "", E_INVALID, "without gaps");
    expect_refused("\"added_tokens\": [\n    {\n      \"id\": 832,",
                   "\"added_tokens\": [{\"id\": 0, \"content\": \"!\"}, {\"id\": 868,", E_INVALID,
                   "no token has id 832");
    expect_refused("\"!\": 0,", "\"!!!!!!\": 0,", E_INVALID, "0x21");
    expect_refused("\"!\": 0,", "\"! !\": 0,", E_INVALID, "alphabet");
    expect_refused("\"!\": 0,", "\"\xE4\xB8\xAD\": 0,", E_INVALID, "alphabet");
    expect_refused("\"!\": 0,", "\"\": 0,", E_INVALID, "alphabet");
    expect_refused("\"!\": 0,", "\"!\": 0, \"!\": 0,", E_INVALID, "!");
    expect_refused("\"vocab\": {", "\"vocab\": {}, \"other\": {", E_INVALID, "model.vocab");
    expect_refused("\"vocab\": {", "\"vocab\": [], \"other\": {", E_INVALID, "model.vocab");
    expect_refused("\"model\": {", "\"model\": 1, \"other\": {", E_UNSUPPORTED, "model.type");
}

TEST(broken_added_tokens)
{
    expect_refused("\"id\": 833", "\"id\": 832", E_INVALID, "two tokens claim id 832");
    expect_refused("\"id\": 832", "\"id\": 0", E_INVALID, "two tokens claim id 0");
    expect_refused("\"id\": 832", "\"id\": 900", E_INVALID, "900");
    expect_refused("\"id\": 867", "\"id\": 2147483648", E_INVALID, "2147483648");
    expect_refused("\"id\": 832", "\"id\": null", E_INVALID, "-1");
    expect_refused("\"id\": 832,", "", E_INVALID, "-1");
    expect_refused("\"[MASK]\"", "\"<|endoftext|>\"", E_INVALID, "two ids");
    expect_refused("\"[MASK]\"", "\"!\"", E_INVALID, "two ids");
    expect_refused("\"[MASK]\"", "\"\"", E_INVALID, "content");
    expect_refused("\"content\": \"[MASK]\"", "\"content\": 7", E_INVALID, "content");
    expect_refused("\"added_tokens\": [", "\"added_tokens\": 7, \"x\": [", E_INVALID,
                   "added_tokens");
}

TEST(broken_merges)
{
    expect_refused("\"merges\": [", "\"merges\": [[\"a\", \"zzzz\"],", E_INVALID, "right part");
    expect_refused("\"merges\": [", "\"merges\": [[\"zzzz\", \"a\"],", E_INVALID, "left part");
    expect_refused("\"merges\": [", "\"merges\": [[\"z\", \"~\"],", E_INVALID, "its result");
    expect_refused("\"merges\": [", "\"merges\": [[\"e\", \"r\"],", E_INVALID, "there twice");
    expect_refused("\"merges\": [", "\"merges\": [\"er\",", E_INVALID, "a merge is");
    expect_refused("\"merges\": [", "\"merges\": [7,", E_INVALID, "a merge is");
    expect_refused("\"merges\": [", "\"merges\": [[\"e\"],", E_INVALID, "a merge is");
    expect_refused("\"merges\": [", "\"merges\": [[\"e\", 1],", E_INVALID, "a merge is");
    expect_refused("\"merges\": [", "\"merges\": [\"e  r\",", E_INVALID, "alphabet");
    expect_refused("\"merges\": [", "\"merges\": [[\"\", \"r\"],", E_INVALID, "left part");
    expect_refused("\"merges\": [", "\"merges\": {}, \"x\": [", E_INVALID, "model.merges");
    expect_refused("\"merges\": [", "\"x\": [", E_INVALID, "model.merges");
}

TEST(post_processors)
{
    static const char before[] =
        "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": ["
        "{\"SpecialToken\": {\"id\": \"[gMASK]\", \"type_id\": 0}}, "
        "{\"SpecialToken\": {\"id\": \"<sop>\", \"type_id\": 0}}, "
        "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, "
        "{\"SpecialToken\": {\"id\": \"<eop>\", \"type_id\": 0}}], \"pair\": [], "
        "\"special_tokens\": {\"[gMASK]\": {\"id\": \"[gMASK]\", \"ids\": [834], \"tokens\": "
        "[\"[gMASK]\"]}, \"<sop>\": {\"id\": \"<sop>\", \"ids\": [836], \"tokens\": [\"<sop>\"]}, "
        "\"<eop>\": {\"id\": \"<eop>\", \"ids\": [837], \"tokens\": [\"<eop>\"]}}}";
    static const int32_t want[] = {834, 836, 0, 837};
    struct tokenizer_encode_options o = {.add_special = true};
    struct tokenizer *t = NULL;
    struct error err = {0};
    struct buf ids;

    buf_init(&ids, TEXT_MAX);
    EXPECT_OK(parse_edited("\"post_processor\": null", before, &t, &err));
    EXPECT_OK(tokenizer_encode(t, STR("!"), &o, &ids));
    EXPECT_EQ_SIZE(ids.len, sizeof(want));
    EXPECT_TRUE(memcmp(ids.ptr, want, sizeof(want)) == 0);
    buf_reset(&ids);
    o.add_special = false;
    EXPECT_OK(tokenizer_encode(t, STR("!"), &o, &ids));
    EXPECT_EQ_SIZE(ids.len, sizeof(int32_t));
    buf_done(&ids);
    tokenizer_destroy(t);
}

TEST(broken_post_processors)
{
    static const char head[] =
        "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": ";
    static const char *const tails[][2] = {
        {"[]}", "Sequence A"},
        {"7}", "an array"},
        {"[{\"Sequence\": {\"id\": \"B\"}}]}", "itself"},
        {"[{\"Sequence\": {\"id\": \"A\"}}, {\"Sequence\": {\"id\": \"A\"}}]}", "once"},
        {"[{\"SpecialToken\": {\"id\": \"<sop>\"}}, {\"Sequence\": {\"id\": \"A\"}}]}", "<sop>"},
        {"[{\"SpecialToken\": {\"id\": \"<sop>\"}}, {\"Sequence\": {\"id\": \"A\"}}], "
         "\"special_tokens\": {\"<sop>\": {\"ids\": [7]}}}",
         "<sop>"},
    };

    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        struct buf new;

        buf_init(&new, TEXT_MAX);
        buf_append_c(&new, head);
        buf_append_c(&new, tails[i][0]);
        expect_refused("\"post_processor\": null", buf_c(&new), E_UNSUPPORTED, tails[i][1]);
        buf_done(&new);
    }
}

TEST(every_truncation_is_refused)
{
    struct str text = json_file();

    for (size_t n = 0; n < text.len; n += n < 8000 || n > text.len - 50 ? 1 : 997) {
        struct tokenizer *t = NULL;
        struct error err = {0};
        char *copy = malloc(n + 1); // so that a sanitizer sees a read behind the end

        EXPECT_TRUE(copy != NULL);
        memcpy(copy, text.ptr, n);
        EXPECT_STATUS(tokenizer_parse((struct str){copy, n}, &t, &err), E_INVALID);
        EXPECT_CONTAINS(err.text, "tokenizer.json: ");
        free(copy);
    }
}

TEST(ten_million_merges_reach_a_limit)
{
    struct buf text;
    struct tokenizer *t = NULL;
    struct error err = {0};

    buf_init(&text, TEXT_MAX);
    buf_append_c(&text, "{\"version\": \"1.0\", \"model\": {\"type\": \"BPE\", \"merges\": [0");
    for (unsigned i = 1; i < 10000000; i++) {
        buf_append_c(&text, ",0");
    }
    buf_append_c(&text, "]}}");
    EXPECT_OK(buf_status(&text));
    EXPECT_STATUS(tokenizer_parse(buf_str(&text), &t, &err), E_LIMIT);
    EXPECT_CONTAINS(err.text, "too many values");
    buf_done(&text);
}

TEST(a_million_tokens_reach_a_limit)
{
    struct buf new;

    buf_init(&new, TEXT_MAX);
    buf_append_c(&new, "\"vocab\": {");
    for (unsigned i = 0; i < (1u << 20); i++) {
        buf_printf(&new, "\"%x\":0,", i + 0x1000000);
    }
    expect_refused("\"vocab\": {", buf_c(&new), E_LIMIT, "more than the limit of 1048576");
    buf_done(&new);
}

/* ---- The rank file ---- */

#define CONFIG "{\"added_tokens_decoder\": {}}"

static void expect_ranks(struct str ranks, const char *config, enum status want, const char *needle)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    enum status rc = tokenizer_parse_ranks(ranks, str_from_c(config), &t, &err);

    if (rc != want) {
        FAIL("%s (\"%s\"), expected %s", status_name(rc), err.text, status_name(want));
    }
    if (rc != OK) {
        EXPECT_CONTAINS(err.text, needle);
    }
    tokenizer_destroy(t);
}

static void expect_ranks_edited(const char *old, const char *new, enum status want,
                                const char *needle)
{
    struct str text = ranks_file();
    struct buf edited;

    buf_init(&edited, TEXT_MAX);
    replace_once(text, old, new, &edited);
    expect_ranks(buf_str(&edited), CONFIG, want, needle);
    buf_done(&edited);
}

TEST(broken_rank_files)
{
    expect_ranks_edited("IQ== 0\n", "IQ== 0\r\n", OK, "");
    expect_ranks_edited("IQ== 0\n", "IQ== 0\n\n", OK, "");
    expect_ranks_edited("IQ== 0\n", "IQ== 1\n", E_INVALID, "line 2: rank 1 is there twice");
    expect_ranks_edited("IQ== 0\n", "IQ== 832\n", E_INVALID, "line 1: rank 832");
    expect_ranks_edited("IQ== 0\n", "IQ== 18446744073709551616\n", E_INVALID, "line 1");
    expect_ranks_edited("IQ== 0\n", "IQ== -1\n", E_INVALID, "line 1");
    expect_ranks_edited("IQ== 0\n", "IQ==\n", E_INVALID, "line 1");
    expect_ranks_edited("IQ== 0\n", "IQ== 0 \n", E_INVALID, "line 1");
    expect_ranks_edited("IQ== 0\n", "IQ= 0\n", E_INVALID, "line 1");
    expect_ranks_edited("IQ== 0\n", "IR== 0\n", E_INVALID, "line 1"); // spare bits set
    expect_ranks_edited("IQ== 0\n", "=Q== 0\n", E_INVALID, "line 1");
    expect_ranks_edited("IQ== 0\n", "I-== 0\n", E_INVALID, "line 1");
    expect_ranks_edited("IQ== 0\n", " 0\n", E_INVALID, "line 1");
    expect_ranks_edited("IQ== 0\n", "Ig== 0\n", E_INVALID, "repetition");
    expect_ranks_edited("IQ== 0\n", "ISEhISEhISEh 0\n", E_INVALID, "0x21");
    expect_ranks(STR(""), CONFIG, E_INVALID, "0x00");
    expect_ranks(STR("\x0a\x0b<unk>\x15\x00\x01"), CONFIG, E_INVALID, "SentencePiece");
}

TEST(rank_files_need_their_config)
{
    struct str ranks = ranks_file();

    expect_ranks(ranks, "{", E_INVALID, "tokenizer_config.json: ");
    expect_ranks(ranks, "{}", E_INVALID, "added_tokens_decoder");
    expect_ranks(ranks, "{\"added_tokens_decoder\": {\"x\": {\"content\": \"a\"}}}", E_INVALID,
                 "keys are ids");
    expect_ranks(ranks, "{\"added_tokens_decoder\": {\"833\": {\"content\": \"<a>\"}}}", E_INVALID,
                 "833");
    expect_ranks(ranks, "{\"added_tokens_decoder\": {\"832\": {\"content\": \"<a>\"}}}", OK, "");
    expect_ranks(ranks,
                 "{\"added_tokens_decoder\": {\"832\": {\"content\": \"<sop>\"}}, "
                 "\"tokenizer_class\": \"ChatGLM4Tokenizer\"}",
                 E_INVALID, "[gMASK]");
}

TEST(chatglm_puts_its_prefix_first)
{
    struct str ranks = ranks_file();
    struct tokenizer_encode_options o = {.add_special = true};
    static const int32_t want[] = {832, 833, 0};
    struct tokenizer *t = NULL;
    struct error err = {0};
    struct buf ids;

    buf_init(&ids, TEXT_MAX);
    EXPECT_OK(tokenizer_parse_ranks(
        ranks,
        STR("{\"added_tokens_decoder\": {\"832\": {\"content\": \"[gMASK]\", \"special\": true}, "
            "\"833\": {\"content\": \"<sop>\"}}, \"tokenizer_class\": \"ChatGLM4Tokenizer\"}"),
        &t, &err));
    EXPECT_OK(tokenizer_encode(t, STR("!"), &o, &ids));
    EXPECT_EQ_SIZE(ids.len, sizeof(want));
    EXPECT_TRUE(memcmp(ids.ptr, want, sizeof(want)) == 0);
    buf_done(&ids);
    tokenizer_destroy(t);
}

/* ---- Folders ---- */

static void write_file(const char *dir, const char *name, struct str text)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "wbe");
    EXPECT_TRUE(f != NULL);
    EXPECT_EQ_SIZE(fwrite(text.ptr, 1, text.len, f), text.len);
    EXPECT_EQ_INT(fclose(f), 0);
}

static void expect_load(const char *dir, enum status want, const char *needle)
{
    struct tokenizer *t = NULL;
    struct error err = {0};

    EXPECT_STATUS(tokenizer_load(dir, &t, &err), want);
    if (want != OK) {
        EXPECT_CONTAINS(err.text, needle);
    }
    tokenizer_destroy(t);
}

TEST(folders)
{
    char dir[] = "/tmp/kontor-tokenizer-XXXXXX";
    char path[256];

    EXPECT_TRUE(mkdtemp(dir) != NULL);
    expect_load(dir, E_NOT_FOUND, "neither tokenizer.json nor tokenizer.model");
    expect_load("/nonexistent/folder", E_NOT_FOUND, "/nonexistent/folder");
    write_file(dir, "tokenizer.model", ranks_file());
    expect_load(dir, E_NOT_FOUND, "tokenizer_config.json");
    write_file(dir, "tokenizer_config.json",
               test_read_file(test_path("data/tokenizer/tokenizer_config.json")));
    expect_load(dir, OK, "");
    write_file(dir, "tokenizer.json", STR("{}")); // comes first, and is not skipped when it is bad
    expect_load(dir, E_UNSUPPORTED, "version is missing");
    snprintf(path, sizeof(path), "%s/tokenizer.json", dir);
    EXPECT_EQ_INT(unlink(path), 0);
    EXPECT_EQ_INT(mkdir(path, 0700), 0);
    expect_load(dir, E_IO, "tokenizer.json cannot be read");
    EXPECT_EQ_INT(rmdir(path), 0);
    snprintf(path, sizeof(path), "%s/tokenizer.model", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/tokenizer_config.json", dir);
    unlink(path);
    EXPECT_EQ_INT(rmdir(dir), 0);
}
