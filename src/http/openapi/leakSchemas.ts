import { arrayOf, object } from './parts.ts'

/** Schemas of reports of leaked secrets, as GitHub sends them, and of the answer. */

const text = { type: 'string' } as const

export const leakReports = arrayOf({
  type: 'object',
  required: ['token'],
  properties: { token: text, type: text, url: text, source: text },
})

export const leakLabels = arrayOf(
  object({
    token_hash: { ...text, description: 'SHA-256 of the secret, in hex.' },
    token_type: text,
    label: { enum: ['true_positive', 'false_positive'] },
  }),
)
