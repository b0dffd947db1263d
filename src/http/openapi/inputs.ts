/** Schemas of text that callers write, as far as a schema can say what it may be. */

/** The domain's rules, as far as they can be written in the regular expressions that every language has. */
const SPACE = '\\s\\u0085'
const UNPRINTABLE = '\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069'
const INVISIBLE =
  '\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\ufffe\\uffff'
const AT_EDGE = `[^${UNPRINTABLE}${SPACE}]`
const TRIMMED = `${AT_EDGE}(?:[^${UNPRINTABLE}]{0,98}${AT_EDGE})?`

export const nameInput = {
  type: 'string',
  pattern: `^(?=[\\s\\S]*[^${UNPRINTABLE}${SPACE}${INVISIBLE}])[${SPACE}]*${TRIMMED}[${SPACE}]*$`,
  description:
    '1 to 100 characters after trimming, one of them to be seen: a letter, a digit, punctuation or a symbol. No token.',
  example: 'CI deploy',
}
export const reasonInput = {
  type: 'string',
  maxLength: 200,
  pattern: `^[^${UNPRINTABLE}]*$`,
  description: 'Goes into the history. No token.',
}

export const descriptionInput = {
  type: ['string', 'null'],
  description: 'At most 500 characters, in several lines if need be. No token.',
  example: 'Deploys the shop from its CI.',
}

/** Texts that mean something to the host alone. */
const label = { type: 'string', description: 'At most 200 characters. No token.' }
const labelName = 'Names match `[A-Za-z0-9_.-]{1,40}`.'
export const metadata = { type: 'object', additionalProperties: label, description: labelName }
export const metadataInput = {
  ...metadata,
  maxProperties: 16,
  description: `At most 16 members. ${labelName}`,
  example: { team: 'shop' },
}
export const metadataPatch = {
  ...metadataInput,
  type: ['object', 'null'],
  additionalProperties: { ...label, type: ['string', 'null'] },
  maxProperties: 32,
  description: `Merged (RFC 7396): null takes a member away. At most 16 remain. ${labelName}`,
}

export const allowedIpsInput = {
  type: ['array', 'null'],
  items: { type: 'string' },
  minItems: 1,
  maxItems: 100,
  description: 'Addresses and CIDR blocks from which alone the token is accepted; null: from anywhere.',
  example: ['192.0.2.7', '2001:db8::/32'],
}

export const momentInput = {
  type: 'string',
  anyOf: [
    { type: 'string', format: 'date-time' },
    { type: 'string', pattern: '^\\d{1,9}$' },
  ],
  description: 'The token as it was: an RFC 3339 time, or a revision.',
}

export const cursor = {
  type: 'string',
  minLength: 1,
  pattern: '^[A-Za-z0-9_-]+$',
  description:
    'The next_cursor of the page before, with the same query otherwise. Opaque: a made up one is 422.',
} as const

export const expiresAtInput = {
  type: ['string', 'null'],
  format: 'date-time',
  description: 'In the future; null for never.',
  example: '2099-12-31T23:59:59.000Z',
} as const

export const scopeItems = { type: 'string', pattern: '^[a-z0-9][a-z0-9:._*-]{0,63}$' }
