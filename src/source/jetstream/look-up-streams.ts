import { reasonOf } from "../../core/ports/errors.ts";
import { deniedSubject, hearErrors, type NatsConnection } from "../connect.ts";
import { Requests } from "../requests.ts";
import { StreamApi, StreamApiError } from "./stream-api.ts";

/** Looks at streams once, without following them. @returns why each of those that can't be read can't be, by name. */
export async function lookUpStreams(
  connection: NatsConnection,
  names: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const ignore = (): void => {};
  const faults = { unreadable: ignore, fault: ignore, denied: ignore, refused: ignore };
  const requests = new Requests(connection, faults);
  const stopHearing = hearErrors(connection, (text) => {
    const subject = deniedSubject(text);
    if (subject !== undefined) requests.denied(subject);
  });
  const api = new StreamApi(requests);
  const looks = names.map(async (name): Promise<[string, string] | undefined> => {
    try {
      await api.stream(name);
      await api.expectMayFollow(name);
      return undefined;
    } catch (error) {
      const isMissing = error instanceof StreamApiError && error.isNotFound;
      return [
        name,
        isMissing ? "it does not exist. Create it, or correct the key" : reasonOf(error),
      ];
    }
  });
  const found = await Promise.all(looks);
  stopHearing?.();
  return new Map(found.filter((one) => one !== undefined));
}
