import type { ErrorObject } from 'ajv/dist/2020.js'

/** What the validator has found, in words for whoever has sent it. */

const TYPES: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  null: 'null',
}

const counted = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`
const atLeast = (n: number, noun: string): string => `must have at least ${counted(n, noun)}`
export const atMost = (n: number, noun: string): string => `must have at most ${counted(n, noun)}`

/** For each keyword of the schemas of requests; a `pattern` and what is in a `properties` say nothing by themselves. */
export const WORDS: Readonly<Record<string, (params: ErrorObject['params']) => string>> = {
  type: ({ type }) =>
    `must be ${[type]
      .flat()
      .map((name: string) => TYPES[name])
      .join(' or ')}`,
  required: () => 'is required',
  additionalProperties: () => 'is not known',
  enum: ({ allowedValues }) => `must be one of ${allowedValues.join(', ')}`,
  format: () => 'must be an RFC 3339 time',
  minLength: ({ limit }) => atLeast(limit, 'character'),
  maxLength: ({ limit }) => atMost(limit, 'character'),
  minItems: ({ limit }) => atLeast(limit, 'item'),
  maxItems: ({ limit }) => atMost(limit, 'item'),
  uniqueItems: () => 'must not have an item twice',
  maxProperties: ({ limit }) => atMost(limit, 'member'),
  minimum: ({ limit }) => `must be at least ${limit}`,
  maximum: ({ limit }) => `must be at most ${limit}`,
}

export const wordsOf = ({ keyword, params }: ErrorObject): string =>
  WORDS[keyword]?.(params) ?? 'is not valid'
