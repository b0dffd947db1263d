import { object } from './parts.ts'

/** Schemas of OAuth's requests and answers. */

const text = { type: 'string' } as const
const form = (properties: Record<string, object>) => ({
  type: 'object',
  required: ['token'],
  properties: { token: text, token_type_hint: text, ...properties },
})

export const introspectionForm = form({
  client_ip: {
    ...text,
    description: 'The address of whoever brought the token, for `allowed_ips` and limits.',
  },
})
export const revocationForm = form({})

const active = object(
  {
    active: { const: true },
    scope: text,
    sub: { ...text, description: 'The account.' },
    client_id: { ...text, description: "The token's id." },
    jti: text,
    token_type: { const: 'Bearer' },
    iat: { type: 'integer' },
    exp: { type: 'integer' },
  },
  ['exp'],
)
export const introspection = { anyOf: [active, object({ active: { const: false } })] }

export const oauthError = object(
  {
    error: { enum: ['invalid_request', 'invalid_client'] },
    error_description: { ...text, description: 'What is wrong with the form.' },
  },
  ['error_description'],
)

const texts = { type: 'array', items: text }
export const metadata = object({
  issuer: text,
  introspection_endpoint: text,
  introspection_endpoint_auth_methods_supported: texts,
  revocation_endpoint: text,
  revocation_endpoint_auth_methods_supported: texts,
  response_types_supported: texts,
  grant_types_supported: texts,
})
