#include "app/config_probe.h"
#include "gateway/jwks.h"
#include "net/tls.h"
#include "store/keys.h"

#include <string.h>
#include <unistd.h>

/* At the value of the key that names the file. */
static void complain(struct config_reader *r, const struct yaml_node *item, const char *key,
                     const struct error *err)
{
    const struct yaml_node *value = yaml_get(item, str_from_c(key));
    struct yaml_mark nowhere = {0, 0};

    config_report_error(r->report, value != NULL ? value->mark : nowhere, "%s: %s", key, err->text);
}

/* NULL where a file is not named. */
static const char *path_of(struct str path)
{
    return path.len > 0 ? path.ptr : NULL;
}

static bool is_there(const char *path)
{
    return path == NULL || access(path, R_OK) == 0;
}

static void probe_listeners(struct config_reader *r, const struct settings *s)
{
    const struct yaml_node *list = yaml_get(r->root, STR("listen"));

    for (uint32_t i = 0; i < s->n_listeners; i++) {
        const struct settings_listener *l = &s->listeners[i];
        const struct tls_server_options options = {
            .certificate_file = path_of(l->certificate_file),
            .key_file = path_of(l->key_file),
            .client_ca_file = path_of(l->client_ca_file),
        };
        struct tls_server *tls = NULL;
        struct error err;

        if (options.certificate_file == NULL || options.key_file == NULL ||
            !is_there(options.certificate_file) || !is_there(options.key_file) ||
            !is_there(options.client_ca_file)) {
            continue;
        }
        if (tls_server_create(&options, &tls, &err) != OK) {
            complain(r, config_read_item(list, i), "certificate", &err);
        }
        tls_server_destroy(tls);
    }
}

static void probe_upstreams(struct config_reader *r, const struct settings *s)
{
    const struct yaml_node *item = config_read_item(yaml_get(r->root, STR("upstreams")), 0);

    for (uint32_t i = 0; i < s->n_upstreams; i++, item = item->next) {
        const struct tls_client_options *o = &s->upstreams[i].tls;
        const struct yaml_node *tls_node = yaml_get(item, STR("tls"));
        struct tls_client *tls = NULL;
        struct error err;

        if ((o->ca_file == NULL && o->certificate_file == NULL) || !is_there(o->ca_file) ||
            !is_there(o->certificate_file) || !is_there(o->key_file)) {
            continue;
        }
        if (tls_client_create(o, &tls, &err) != OK) {
            complain(r, tls_node, o->certificate_file != NULL ? "certificate" : "ca", &err);
        }
        tls_client_destroy(tls);
    }
}

static void probe_identity(struct config_reader *r, const struct settings *s)
{
    const struct yaml_node *auth = yaml_get(r->root, STR("auth"));
    const char *key = yaml_get(auth, STR("keys_file")) != NULL ? "keys_file" : "keys";
    struct keys *keys = NULL;
    struct jwks *jwks = NULL;
    struct error err;

    if (s->keys_file.len > 0 && keys_load(s->keys_file.ptr, &keys, &err) != OK) {
        complain(r, auth, key, &err);
    }
    keys_unref(keys);
    if (s->jwks_file.len > 0 && is_there(s->jwks_file.ptr) &&
        jwks_load(s->jwks_file.ptr, &jwks, &err) != OK) {
        complain(r, yaml_get(auth, STR("jwt")), "jwks_file", &err);
    }
    jwks_destroy(jwks);
}

void config_probe_run(struct config_reader *r, const struct settings *s)
{
    if (r->without_secrets) {
        return;
    }
    probe_listeners(r, s);
    probe_upstreams(r, s);
    probe_identity(r, s);
}
