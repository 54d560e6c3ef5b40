// The gateway on Deno Deploy, or by `deno serve`: see README.md.
export { default } from "spillway/deno-serve"; // in your project: "npm:spillway/deno-serve"
