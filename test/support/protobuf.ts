const decoder = new TextDecoder();

/** Reads a message of Protocol Buffers without its schema (https://protobuf.dev/programming-guides/encoding/). */
export function readMessage(bytes: Uint8Array): ProtoMessage {
  return new ProtoMessage(bytes);
}

/** A message: its fields by their numbers. A field that is absent has the default of its type. */
export class ProtoMessage {
  readonly #fields = new Map<number, (bigint | Uint8Array)[]>();

  constructor(bytes: Uint8Array) {
    let at = 0;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const varint = (): bigint => {
      let value = 0n;
      for (let shift = 0n; ; shift += 7n) {
        const byte = BigInt(view.getUint8(at++));
        value |= (byte & 0x7fn) << shift;
        if (byte < 0x80n) return value;
      }
    };
    const take = (length: number): Uint8Array => {
      at += length;
      return bytes.subarray(at - length, at);
    };
    while (at < bytes.length) {
      const tag = Number(varint());
      const wire = tag & 7;
      const value =
        wire === 0 ? varint() : take(wire === 1 ? 8 : wire === 5 ? 4 : Number(varint()));
      const field = tag >>> 3;
      this.#fields.set(field, [...(this.#fields.get(field) ?? []), value]);
    }
  }

  has(field: number): boolean {
    return this.#fields.has(field);
  }

  number(field: number): number {
    return Number(this.#fields.get(field)?.at(-1) ?? 0);
  }

  text(field: number): string {
    return decoder.decode(this.#bytes(field));
  }

  hex(field: number): string {
    return Buffer.from(this.#bytes(field)).toString("hex");
  }

  messages(field: number): ProtoMessage[] {
    return (this.#fields.get(field) ?? []).map((bytes) => new ProtoMessage(bytes as Uint8Array));
  }

  fixed64(field: number): bigint {
    return this.fixed64s(field).at(-1) ?? 0n;
  }

  /** Numbers of 64 bits, packed into one value or not. */
  fixed64s(field: number): bigint[] {
    return this.#each(field, (view, at) => view.getBigUint64(at, true));
  }

  double(field: number): number {
    return this.doubles(field).at(-1) ?? 0;
  }

  doubles(field: number): number[] {
    return this.#each(field, (view, at) => view.getFloat64(at, true));
  }

  #bytes(field: number): Uint8Array {
    return (this.#fields.get(field)?.at(-1) as Uint8Array | undefined) ?? new Uint8Array();
  }

  #each<T>(field: number, read: (view: DataView, at: number) => T): T[] {
    return ((this.#fields.get(field) ?? []) as Uint8Array[]).flatMap((bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      return Array.from({ length: bytes.byteLength / 8 }, (_, index) => read(view, index * 8));
    });
  }
}
