import { z } from "zod";
import { type Layer, layerFrom } from "./layer.ts";
import { issueText, type Problem, separated, shown } from "./problem.ts";

const text = () => z.string({ error: "must be a text" });
const flag = () => z.boolean({ error: "must be true or false" });
const texts = () => z.array(text(), { error: "must be a list of texts" });
const AN_OBJECT = ({ code }: { readonly code?: string }): string | undefined =>
  code === "unrecognized_keys" ? undefined : "must be an object";

/** StreamKit's `ServerMTLSConfig`. */
const MTLS = {
  enabled: flag().optional(),
  client_ca_files: texts().optional(),
  require_client_cert: flag().optional(),
  allowed_client_cns: texts().optional(),
};

/** StreamKit's `ServerTLSConfig`. */
const SERVER = {
  enabled: flag().optional(),
  mode: text().optional(),
  cert_file: text().optional(),
  key_file: text().optional(),
  min_version: text().optional(),
  acme: z.looseObject({ enabled: flag().optional() }, { error: AN_OBJECT }).optional(),
  mtls: z.strictObject(MTLS, { error: AN_OBJECT }).optional(),
};

/** StreamKit's `security`; all but `tls.server` is for other parts of StreamKit. */
export const securitySchema = z.looseObject(
  {
    tls: z
      .looseObject(
        { server: z.strictObject(SERVER, { error: AN_OBJECT }).optional() },
        { error: AN_OBJECT },
      )
      .optional(),
  },
  { error: AN_OBJECT },
);

type Server = NonNullable<NonNullable<z.infer<typeof securitySchema>["tls"]>["server"]>;

const PART = "security.tls.server";

/** Reads StreamKit's `security.tls.server`, which says the keys `tls_…`. Empty texts and lists say nothing, as Go writes them. */
export function securityLayer(
  security: unknown,
  plain: Readonly<Record<string, unknown>>,
  from: string | undefined,
): Layer {
  if (security === undefined || security === null) return layerFrom({});
  const broken = (problems: Problem[]): Layer => ({
    ...layerFrom({}),
    ...{ problems, isIncomplete: true },
  });
  const result = securitySchema.safeParse(security, { reportInput: true });
  if (!result.success) {
    const problems = result.error.issues.flatMap(separated).map((issue) => {
      const path = ["security", ...issue.path];
      const knownKeys = () => Object.keys(issue.path.at(-1) === "mtls" ? MTLS : SERVER);
      return { text: issueText({ ...issue, path }, { knownKeys, isSecret: () => false }), from };
    });
    return broken(problems);
  }
  const server = result.data.tls?.server;
  if (server?.enabled !== true) return layerFrom({});
  const faults = faultsOf(server);
  if (faults.length > 0) return broken(faults.map((text) => ({ text, from })));
  const { cert_file, key_file, min_version, mtls } = server;
  const clients = mtls?.enabled === true ? mtls : {};
  const said = Object.entries({
    tls_cert_file: cert_file,
    tls_key_file: key_file,
    tls_min_version: min_version,
    tls_client_ca_files: clients.client_ca_files,
    tls_client_names: clients.allowed_client_cns,
  }).filter(([, value]) => value !== undefined && value.length > 0);
  const problems = said.flatMap(([key, value]): Problem[] => {
    const other = plain[key];
    if (other === undefined || JSON.stringify(other) === JSON.stringify(value)) return [];
    return [{ key, text: `"${key}" is ${shown(other)} but "${PART}" says ${shown(value)}`, from }];
  });
  const where = from === undefined ? PART : `${PART} of ${from}`;
  return { ...layerFrom(Object.fromEntries(said), where), problems };
}

/** Returns what the gateway can't do, and what is missing. */
function faultsOf({ mode, acme, cert_file, key_file, mtls }: Server): string[] {
  const faults: string[] = [];
  if (mode !== undefined && mode !== "" && mode !== "manual") {
    const rule = 'must be "manual": let another program renew the files, which are read again';
    faults.push(`"${PART}.mode" is ${shown(mode)} but ${rule}`);
  } else if (acme?.enabled === true) {
    faults.push(`"${PART}.acme.enabled" is true but must be false: certificates come from files`);
  }
  for (const [name, path] of Object.entries({ cert_file, key_file })) {
    if (path) continue;
    faults.push(`"${PART}.${name}" is ${shown(path)} but must be the path of a file`);
  }
  if (mtls?.enabled !== true) return faults;
  if ((mtls.client_ca_files ?? []).length === 0) {
    const rule = "must be a list of one or more paths of files";
    faults.push(`"${PART}.mtls.client_ca_files" is ${shown(mtls.client_ca_files)} but ${rule}`);
  }
  if (mtls.require_client_cert !== true) {
    const is = shown(mtls.require_client_cert ?? false);
    const rule = 'must be true with "enabled": certificates that are not required prove nothing';
    faults.push(`"${PART}.mtls.require_client_cert" is ${is} but ${rule}`);
  }
  return faults;
}
