/* Docker's daemon.json: syntax, types, runtimes. */
#include "base/check.h"
#include "base/json.h"
#include "doctor/files_kinds.h"

#include <string.h>

struct known_key {
    const char *name;
    enum json_kind kind;
};

static const struct known_key keys[] = {
    {"runtimes", JSON_OBJECT},
    {"default-runtime", JSON_STRING},
    {"registry-mirrors", JSON_ARRAY},
    {"insecure-registries", JSON_ARRAY},
    {"exec-opts", JSON_ARRAY},
    {"log-driver", JSON_STRING},
    {"log-opts", JSON_OBJECT},
    {"log-level", JSON_STRING},
    {"storage-driver", JSON_STRING},
    {"storage-opts", JSON_ARRAY},
    {"data-root", JSON_STRING},
    {"exec-root", JSON_STRING},
    {"default-shm-size", JSON_STRING},
    {"default-ulimits", JSON_OBJECT},
    {"features", JSON_OBJECT},
    {"live-restore", JSON_BOOL},
    {"experimental", JSON_BOOL},
    {"debug", JSON_BOOL},
    {"hosts", JSON_ARRAY},
    {"dns", JSON_ARRAY},
    {"bip", JSON_STRING},
    {"mtu", JSON_INT},
    {"iptables", JSON_BOOL},
    {"ip6tables", JSON_BOOL},
    {"ipv6", JSON_BOOL},
    {"cgroup-parent", JSON_STRING},
    {"userns-remap", JSON_STRING},
    {"selinux-enabled", JSON_BOOL},
    {"default-ipc-mode", JSON_STRING},
    {"default-cgroupns-mode", JSON_STRING},
    {"max-concurrent-downloads", JSON_INT},
    {"max-concurrent-uploads", JSON_INT},
    {"default-address-pools", JSON_ARRAY},
    {"metrics-addr", JSON_STRING},
    {"proxies", JSON_OBJECT},
    {"labels", JSON_ARRAY},
    {"no-new-privileges", JSON_BOOL},
    {"shutdown-timeout", JSON_INT},
    {"userland-proxy", JSON_BOOL},
    {"ip", JSON_STRING},
    {"ip-forward", JSON_BOOL},
    {"ip-masq", JSON_BOOL},
    {"tls", JSON_BOOL},
    {"tlsverify", JSON_BOOL},
    {"tlscacert", JSON_STRING},
    {"tlscert", JSON_STRING},
    {"tlskey", JSON_STRING},
    {"containerd", JSON_STRING},
    {"group", JSON_STRING},
    {"pidfile", JSON_STRING},
    {"init", JSON_BOOL},
    {"icc", JSON_BOOL},
    {"fixed-cidr", JSON_STRING},
    {"fixed-cidr-v6", JSON_STRING},
    {"builder", JSON_OBJECT},
    {"cdi-spec-dirs", JSON_ARRAY},
    {"seccomp-profile", JSON_STRING},
    {"node-generic-resources", JSON_ARRAY},
    {"oom-score-adjust", JSON_INT},
    {"raw-logs", JSON_BOOL},
    {"dns-opts", JSON_ARRAY},
    {"dns-search", JSON_ARRAY},
    {"allow-nondistributable-artifacts", JSON_ARRAY},
    {"max-download-attempts", JSON_INT},
    {"default-gateway", JSON_STRING},
    {"bridge", JSON_STRING},
    {"authorization-plugins", JSON_ARRAY},
    {"swarm-default-advertise-addr", JSON_STRING},
    {"network-control-plane-mtu", JSON_INT},
    {"host-gateway-ip", JSON_STRING},
    {"http-proxy", JSON_STRING},
    {"https-proxy", JSON_STRING},
    {"no-proxy", JSON_STRING},
    {"validate", JSON_BOOL},
    {"init-path", JSON_STRING},
    {"rootless", JSON_BOOL},
    {"cpu-rt-period", JSON_INT},
    {"cpu-rt-runtime", JSON_INT},
};

/* A vendor's runtime: where its package puts the binary. */
static const struct {
    const char *name;
    const char *path;
    bool bare_name_works; // found through PATH
} runtimes[] = {
    {"ascend", "/usr/local/Ascend/Ascend-Docker-Runtime/ascend-docker-runtime", false},
    {"nvidia", "nvidia-container-runtime", true},
};

static size_t place(const struct files_ctx *c, const struct json_value *v)
{
    return (size_t)(v->source.ptr - c->text.ptr);
}

static size_t key_place(const struct files_ctx *c, const struct json_member *m)
{
    size_t at = place(c, &m->value);

    while (at > 0 && c->text.ptr[at] != ':') {
        at--;
    }
    while (at > 0 && c->text.ptr[at] != '"') {
        at--;
    }
    return at;
}

static void check_path(struct files_ctx *c, struct str name, const struct json_value *path)
{
    for (size_t i = 0; i < ARRAY_COUNT(runtimes); i++) {
        struct str want = str_from_c(runtimes[i].path);
        bool fine = str_eq(path->string, want) ||
                    (runtimes[i].bare_name_works && str_ends(path->string, want));

        if (!str_eq(name, str_from_c(runtimes[i].name)) || fine) {
            continue;
        }
        if (str_ends(path->string, STR("/Ascend-Docker-Runtime/ascend-docker-runtime"))) {
            return; // another install folder
        }
        files_wrong(c, place(c, path), "runtime-path",
                    files_text(c, "%.*s is not where the package installs this runtime",
                               STR_ARG(path->string)),
                    STR("Docker starts this binary for every container of the runtime; if it is "
                        "missing, they fail with \"no such file or directory\"."),
                    files_text(c, "Write \"%s\" (check that the file exists) and restart docker.",
                               runtimes[i].path));
        files_replace(c, place(c, path), place(c, path) + path->source.len,
                      files_text(c, "\"%s\"", runtimes[i].path));
    }
}

static void check_runtimes(struct files_ctx *c, const struct json_value *root)
{
    const struct json_value *all = json_get(root, STR("runtimes"));
    const struct json_value *chosen = json_get(root, STR("default-runtime"));

    for (uint32_t i = 0; all != NULL && all->kind == JSON_OBJECT && i < all->n_items; i++) {
        const struct json_member *m = &all->members[i];
        const struct json_value *path = json_get(&m->value, STR("path"));
        const struct json_value *type = json_get(&m->value, STR("runtimeType"));
        const struct json_value *args = json_get(&m->value, STR("runtimeArgs"));

        if (path != NULL && path->kind == JSON_STRING) {
            check_path(c, m->key, path);
        } else if (type == NULL) {
            files_wrong(c, place(c, &m->value), "runtime-path",
                        files_text(c, "runtime %.*s names no binary", STR_ARG(m->key)),
                        STR("An entry of runtimes needs `path` (or runtimeType)."),
                        STR("Add \"path\": the runtime's binary."));
        }
        if (args != NULL && args->kind != JSON_ARRAY) {
            files_wrong(c, place(c, args), "daemon-type", STR("runtimeArgs is no list"),
                        STR("Docker refuses the file and does not start."),
                        STR("Write \"runtimeArgs\": []."));
            files_replace(c, place(c, args), place(c, args) + args->source.len, STR("[]"));
        }
    }
    if (chosen != NULL && chosen->kind == JSON_STRING && !str_eq(chosen->string, STR("runc")) &&
        !str_starts(chosen->string, STR("io.containerd")) &&
        (all == NULL || json_get(all, chosen->string) == NULL)) {
        files_wrong(c, place(c, chosen), "default-runtime",
                    files_text(c, "default-runtime %.*s is not under runtimes",
                               STR_ARG(chosen->string)),
                    STR("Docker does not start: \"specified default runtime does not exist\"."),
                    STR("Add the runtime under \"runtimes\" with its path, or remove the line."));
        for (size_t i = 0; i < ARRAY_COUNT(runtimes) && all == NULL; i++) {
            if (str_eq(chosen->string, str_from_c(runtimes[i].name))) {
                files_replace(c, place(c, chosen), place(c, chosen) + chosen->source.len,
                              files_text(c,
                                         "\"%s\",\n  \"runtimes\": {\"%s\": {\"path\": \"%s\", "
                                         "\"runtimeArgs\": []}}",
                                         runtimes[i].name, runtimes[i].name, runtimes[i].path));
            }
        }
    }
}

static const struct known_key *find_key(struct str name)
{
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        if (str_eq(name, str_from_c(keys[i].name))) {
            return &keys[i];
        }
    }
    return NULL;
}

static void check_key(struct files_ctx *c, const struct json_member *m)
{
    const struct known_key *k = find_key(m->key);
    const char *near = NULL;
    size_t best = 3;

    if (k != NULL) {
        if (m->value.kind != k->kind && m->value.kind != JSON_NULL) {
            files_wrong(c, place(c, &m->value), "daemon-type",
                        files_text(c, "%s must be %s %s", k->name,
                                   k->kind == JSON_OBJECT || k->kind == JSON_ARRAY ? "an" : "a",
                                   json_kind_name(k->kind)),
                        STR("Docker cannot read the file with another type here and does not "
                            "start."),
                        STR("Give the value the right type."));
            if (k->kind == JSON_ARRAY && m->value.kind == JSON_STRING) {
                files_replace(c, place(c, &m->value), place(c, &m->value) + m->value.source.len,
                              files_text(c, "[%.*s]", STR_ARG(m->value.source)));
            } else if (k->kind == JSON_BOOL && m->value.kind == JSON_STRING &&
                       (str_eq(m->value.string, STR("true")) ||
                        str_eq(m->value.string, STR("false")))) {
                files_replace(c, place(c, &m->value), place(c, &m->value) + m->value.source.len,
                              m->value.string);
            }
        }
        return;
    }
    if (str_eq(m->key, STR("graph"))) {
        near = "data-root";
    }
    for (size_t i = 0; i < ARRAY_COUNT(keys) && near == NULL; i++) {
        size_t d = str_distance(m->key, str_from_c(keys[i].name));

        if (d < best) {
            best = d;
            near = keys[i].name;
        }
    }
    files_wrong(c, key_place(c, m), "daemon-key",
                files_text(c, "daemon.json has no key %.*s", STR_ARG(m->key)),
                STR("Docker refuses unknown keys (\"the following directives don't match any "
                    "configuration option\") and does not start."),
                near != NULL ? files_text(c, "Write \"%s\".", near) : STR("Remove it."));
    if (near != NULL) {
        size_t at = key_place(c, m);

        while (at > 0 && c->text.ptr[at - 1] != '"') {
            at--;
        }
        files_replace(c, at, at + m->key.len, str_from_c(near));
    }
}

static void check_values(struct files_ctx *c, const struct json_value *root)
{
    const struct json_value *opts = json_get(root, STR("log-opts"));
    const struct json_value *mirrors = json_get(root, STR("registry-mirrors"));
    const struct json_value *shm = json_get(root, STR("default-shm-size"));
    uint64_t bytes = 0;

    for (uint32_t i = 0; opts != NULL && opts->kind == JSON_OBJECT && i < opts->n_items; i++) {
        const struct json_value *v = &opts->members[i].value;

        if (v->kind != JSON_STRING) {
            files_wrong(c, place(c, v), "daemon-type",
                        files_text(c, "log-opts: %.*s must be a string",
                                   STR_ARG(opts->members[i].key)),
                        STR("Values of log-opts are strings even when they look like numbers; "
                            "docker does not start otherwise."),
                        STR("Put it in quotes."));
            files_replace(c, place(c, v), place(c, v) + v->source.len,
                          files_text(c, "\"%.*s\"", STR_ARG(v->source)));
        }
    }
    for (uint32_t i = 0; mirrors != NULL && mirrors->kind == JSON_ARRAY && i < mirrors->n_items;
         i++) {
        const struct json_value *v = &mirrors->items[i];

        if (v->kind == JSON_STRING && str_find(v->string, STR("://"), 0) == SIZE_MAX) {
            files_wrong(c, place(c, v), "daemon-mirror",
                        files_text(c, "mirror %.*s has no scheme", STR_ARG(v->string)),
                        STR("A mirror is a URL; without https:// docker does not start."),
                        STR("Write \"https://HOST\"."));
            files_replace(c, place(c, v), place(c, v) + v->source.len,
                          files_text(c, "\"https://%.*s\"", STR_ARG(v->string)));
        }
    }
    if (shm != NULL && shm->kind == JSON_STRING && files_bytes(shm->string, &bytes) &&
        bytes < ((uint64_t)64 << 20)) {
        files_wrong(c, place(c, shm), "shm-too-small",
                    files_text(c, "default-shm-size of %u bytes", (unsigned)bytes),
                    STR("A size without a unit is in bytes; every container gets less shared "
                        "memory than docker's own default of 64 MB."),
                    STR("Write \"16G\"."));
        files_replace(c, place(c, shm), place(c, shm) + shm->source.len, STR("\"16G\""));
    }
}

/* Where json_parse stopped, from its message. */
static size_t error_place(const struct files_ctx *c, const char *text)
{
    const char *at = strstr(text, "(byte ");
    uint64_t byte = 0;

    if (at == NULL || !files_number(str_from_c(at + 6), &byte) || byte > c->text.len) {
        return 0;
    }
    return (size_t)byte;
}

static void syntax_problem(struct files_ctx *c, size_t at, const char *text)
{
    size_t back = at;

    while (back > 0 && (c->text.ptr[back - 1] == ' ' || c->text.ptr[back - 1] == '\n' ||
                        c->text.ptr[back - 1] == '\r' || c->text.ptr[back - 1] == '\t')) {
        back--;
    }
    if (at < c->text.len && (c->text.ptr[at] == '/' || c->text.ptr[at] == '#')) {
        size_t end = str_find_byte(c->text, '\n', at);

        files_wrong(c, at, "json-syntax", STR("a comment in JSON"),
                    STR("JSON has no comments; docker does not start with one in daemon.json."),
                    STR("Remove the comment."));
        files_replace(c, at, end == SIZE_MAX ? c->text.len : end, STR(""));
        return;
    }
    if (at < c->text.len && (c->text.ptr[at] == '}' || c->text.ptr[at] == ']') && back > 0 &&
        c->text.ptr[back - 1] == ',') {
        files_wrong(c, back - 1, "json-syntax", STR("a comma behind the last member"),
                    STR("JSON allows no comma before a closing bracket; docker does not start."),
                    STR("Remove the comma."));
        files_replace(c, back - 1, back, STR(""));
        return;
    }
    if (at < c->text.len && c->text.ptr[at] == '"' && back > 0 && back < at) {
        files_wrong(c, back - 1, "json-syntax", STR("a comma is missing between two members"),
                    STR("Members of a JSON object are separated by commas; docker does not start."),
                    STR("Put a comma at the end of this line."));
        files_replace(c, back, back, STR(","));
        return;
    }
    files_wrong(c, at < c->text.len ? at : 0, "json-syntax", STR("no JSON"),
                files_text(c, "%s. Docker does not start with it.", text),
                STR("Correct the place; `python3 -m json.tool FILE` shows the next one."));
}

MUST_USE enum status daemon_check(struct files_ctx *c, struct error *err)
{
    const struct json_value *root = NULL;
    struct json_limits limits = {.allow_duplicate_keys = true};
    struct error parse = {0};
    struct str text = c->text;
    enum status rc = json_parse(c->arena, text, &limits, &root, &parse);

    if (rc != OK) {
        size_t at = error_place(c, parse.text);
        bool at_end = str_trim(str_slice(text, at, text.len)).len == 0;

        if (rc != E_INVALID) {
            return error_set(err, rc, "%.*s: %s", STR_ARG(c->path), parse.text);
        }
        if (at_end) {
            return error_set(err, E_INVALID, "%.*s ends too early: %s", STR_ARG(c->path),
                             parse.text);
        }
        syntax_problem(c, at, parse.text);
        return OK;
    }
    if (root->kind != JSON_OBJECT) {
        return error_set(err, E_INVALID, "%.*s is no JSON object", STR_ARG(c->path));
    }
    for (uint32_t i = 0; i < root->n_items; i++) {
        check_key(c, &root->members[i]);
        for (uint32_t k = 0; k < i && i < 500; k++) {
            if (str_eq(root->members[i].key, root->members[k].key)) {
                files_wrong(c, key_place(c, &root->members[i]), "json-duplicate",
                            files_text(c, "the key %.*s stands here twice",
                                       STR_ARG(root->members[i].key)),
                            STR("Docker keeps the last one only; what the first says is lost."),
                            STR("Merge the two into one."));
            }
        }
    }
    check_runtimes(c, root);
    check_values(c, root);
    return OK;
}
