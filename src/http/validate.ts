import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import type { InputError } from '../domain/errors.ts'
import { parseTime } from '../domain/rules.ts'
import { Problem } from './problem.ts'

const options = { allErrors: true, strict: true, allowUnionTypes: true, useDefaults: true } as const

/** Query strings are text: numbers are read from it, and only there. */
const forQuery = withFormats(new Ajv2020({ ...options, coerceTypes: true }))
const forBody = withFormats(new Ajv2020(options))

function withFormats(ajv: Ajv2020): Ajv2020 {
  ajv.addFormat('date-time', (text: string) => parseTime(text) !== null)
  ajv.addKeyword('example')
  return ajv
}

/** @throws Problem 422 from the returned function: what is wrong, place by place */
export function queryValidator<T>(schema: object): (params: URLSearchParams) => T {
  const validate = forQuery.compile(schema)
  return (params) => {
    const query: Record<string, string> = Object.create(null)
    for (const [name, value] of params) {
      if (name in query) throw invalid([{ pointer: `?${name}`, message: 'must be given once' }])
      query[name] = value
    }
    return judged<T>(validate, query, (path) => `?${path.slice(1)}`)
  }
}

export function bodyValidator<T>(schema: object): (body: unknown) => T {
  const validate = forBody.compile(schema)
  return (body) => judged<T>(validate, body, (path) => path)
}

function judged<T>(validate: ValidateFunction, value: unknown, pointerOf: (path: string) => string): T {
  if (validate(value)) return value as T
  throw invalid((validate.errors ?? []).map((error) => toInputError(error, pointerOf)))
}

function toInputError(error: ErrorObject, pointerOf: (path: string) => string): InputError {
  const { additionalProperty, missingProperty, allowedValues } = error.params as Record<string, unknown>
  const member = additionalProperty ?? missingProperty
  const path = member === undefined ? error.instancePath : `${error.instancePath}/${escapePointer(String(member))}`
  const message =
    additionalProperty !== undefined
      ? 'is not known'
      : missingProperty !== undefined
        ? 'is required'
        : Array.isArray(allowedValues)
          ? `must be one of ${allowedValues.join(', ')}`
          : error.params.format === 'date-time'
            ? 'must be an RFC 3339 time'
            : (error.message ?? 'is not valid')
  return { pointer: pointerOf(path), message }
}

/** RFC 6901. Cut, since an unknown member's name is the caller's and may be long. */
const escapePointer = (member: string): string => member.slice(0, 64).replaceAll('~', '~0').replaceAll('/', '~1')

const invalid = (errors: InputError[]) => new Problem('validation_failed', 'The input is not valid.', { errors })
