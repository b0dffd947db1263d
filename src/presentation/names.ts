/** Names of members as the wire has them (`expires_at`), and as code has them (`expiresAt`). */

type SnakeCase<S> = S extends `${infer Head}${infer Rest}`
  ? `${Head extends Lowercase<Head> ? Head : `_${Lowercase<Head>}`}${SnakeCase<Rest>}`
  : S

type SnakeCased<T> = { [K in keyof T as SnakeCase<K>]: T[K] }

export const snakeCase = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

export const camelCase = (name: string): string =>
  name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

const renamed = (shape: object, rename: (name: string) => string): object =>
  Object.fromEntries(Object.entries(shape).map(([name, value]) => [rename(name), value]))

/** The same members with the names of the wire. Nested members keep their names. */
export const snakeCased = <T extends object>(shape: T): SnakeCased<T> =>
  renamed(shape, snakeCase) as SnakeCased<T>

/** The same members with the names of code. Nested members keep their names. */
export const camelCased = <T extends object>(shape: object): T => renamed(shape, camelCase) as T
