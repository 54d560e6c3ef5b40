/** Parts of the chart and of the provisioning that need no Go to be checked. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Ajv } from "ajv";
import { VERSION } from "../../src/gateway/version.ts";

const read = (path: string): string =>
  readFileSync(new URL(`../../deploy/${path}`, import.meta.url), "utf8");
const yaml = (path: string) => Bun.YAML.parse(read(path)) as Record<string, unknown>;

const CHART = "helm/spillway";
const schema = JSON.parse(read(`${CHART}/values.schema.json`));
const values = yaml(`${CHART}/values.yaml`);

test("The chart's values fit their schema, which knows no others", () => {
  const validate = new Ajv().compile(schema);
  expect([validate(values), validate.errors]).toEqual([true, null]);
  expect(
    Object.keys(schema.properties)
      .filter((key) => key !== "global")
      .sort(),
  ).toEqual(Object.keys(values).sort());
  expect(validate({ ...values, replicas: 3 })).toBe(false);
});

test("The chart has the version of the package", () => {
  expect(yaml(`${CHART}/Chart.yaml`)).toMatchObject({ version: VERSION, appVersion: VERSION });
});

test("Grafana's dashboards find their data source, and the folder that is mounted", () => {
  const { datasources } = yaml("compose/grafana-datasource.yml") as { datasources: object[] };
  expect(datasources).toMatchObject([{ type: "prometheus", url: "http://prometheus:9090" }]);
  const { providers } = yaml("compose/grafana-dashboards.yml") as {
    providers: { options: { path: string } }[];
  };
  expect(read("compose.yaml")).toContain(`:${providers[0]!.options.path}/spillway.json:ro`);
});
