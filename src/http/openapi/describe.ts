import { type ProblemCode, problems } from '../problem.ts'
import type { Route } from '../route.ts'
import { components } from './schemas.ts'
import { type Tag, tags } from '../tags.ts'

interface Info {
  version: string
  tokenHeader: string
}

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch'] as const

/** Makes OpenAPI 3.1 from the route table, so that the description is always of what is served. */
export function describe(routes: readonly Route[], { version, tokenHeader }: Info): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes) {
    const path = route.path.replace(/[:*](\w+)/g, '{$1}')
    const methods = route.method === 'all' ? METHODS : [route.method]
    const item = (paths[path] ??= {})
    for (const method of methods) item[method] = operation(route, method)
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Tokenledger',
      version,
      description: 'API tokens with a memory. Errors are problem documents (RFC 9457).',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    // Relative to the place where this is served: behind a prefix, `/` would belong to somebody else.
    servers: [{ url: './' }],
    tags: tagsOf(routes),
    paths,
    components: {
      schemas: components,
      securitySchemes: {
        apiToken: { type: 'apiKey', in: 'header', name: tokenHeader },
        bearerToken: { type: 'http', scheme: 'bearer', description: 'An API token, by its prefix.' },
        jwt: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        client: { type: 'http', scheme: 'basic', description: 'An OAuth client.' },
        operator: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'A JWT with the scope of operators.',
        },
      },
    },
  }
}

function tagsOf(routes: readonly Route[]): object[] {
  const used = new Set(routes.map(({ tag }) => tag))
  return (Object.keys(tags) as Tag[])
    .filter((name) => used.has(name))
    .map((name) => ({ name, description: tags[name] }))
}

function operation(route: Route, method: string): object {
  return {
    operationId: route.method === 'all' ? `${route.operationId}_${method}` : route.operationId,
    summary: route.summary,
    ...(route.tag ? { tags: [route.tag] } : {}),
    security: security(route.who),
    parameters: [
      ...pathParameters(route.path),
      ...queryParameters(route.query),
      ...headerParameters(route.headers),
    ],
    ...(route.body
      ? {
          requestBody: {
            required: !route.body.isOptional,
            content: contentOf(route.body.types, route.body.schema, route.body.example),
          },
        }
      : {}),
    responses: { ...answers(route), ...errors(route) },
  }
}

function security(who: Route['who']): object[] {
  const token = [{ apiToken: [] }, { bearerToken: [] }]
  const jwt = [{ jwt: [] }]
  switch (who) {
    case 'open':
    case 'signed':
      return []
    case 'jwt':
      return jwt
    case 'token':
      return token
    case 'operator':
    case 'client':
      return [{ [who]: [] }]
    case 'any':
    case 'jwt or the token itself':
      return [...token, ...jwt]
  }
}

const contentOf = (types: readonly string[], schema: object, example?: object) =>
  Object.fromEntries(types.map((type) => [type, { schema, ...(example && { example }) }]))

const bySchema = (content: Record<string, object>) =>
  Object.fromEntries(Object.entries(content).map(([type, schema]) => [type, { schema }]))

const pathParameters = (path: string): object[] =>
  [...path.matchAll(/[:*](\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))

function queryParameters(query: object | undefined): object[] {
  const { properties = {}, required = [] } = (query ?? {}) as {
    properties?: Record<string, { description?: string }>
    required?: readonly string[]
  }
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    ...(required.includes(name) ? { required: true } : {}),
    ...(description ? { description } : {}),
    schema,
  }))
}

const headerParameters = (headers: Record<string, string> = {}): object[] =>
  Object.entries(headers).map(([name, description]) => ({
    name,
    in: 'header',
    description,
    schema: { type: 'string', ...HEADER_RULES[name] },
  }))

const HEADER_RULES: Record<string, object> = { 'Idempotency-Key': { pattern: '^[!-~]{1,255}$' } }

const described = (headers: Record<string, string>) =>
  Object.fromEntries(
    Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: 'string' } }]),
  )

const answers = (route: Route): Record<string, object> =>
  Object.fromEntries(
    Object.entries(route.answers).map(
      ([status, { description, schema, type = 'application/json', content, headers, links }]) => [
        status,
        {
          description,
          ...(headers ? { headers: described(headers) } : {}),
          ...(schema ? { content: contentOf([type].flat(), schema) } : {}),
          ...(content ? { content: bySchema(content) } : {}),
          ...(links ? { links } : {}),
        },
      ],
    ),
  )

/** The problems of a route by status, including those that follow from the rest of its row. */
function errors(route: Route): Record<string, object> {
  const codes = new Set<ProblemCode>([...route.problems, ...impliedProblems(route)])
  const byStatus: Record<string, ProblemCode[]> = {}
  for (const code of codes) {
    const codesOfStatus = (byStatus[problems[code][0]] ??= [])
    codesOfStatus.push(code)
  }
  return Object.fromEntries(
    Object.entries(byStatus)
      .filter(([status]) => !(Number(status) in route.answers))
      .map(([status, list]) => [
        status,
        {
          description: list.map((code) => `\`${code}\`: ${problems[code][1]}.`).join(' '),
          content: contentOf(['application/problem+json'], { $ref: '#/components/schemas/Problem' }),
        },
      ]),
  )
}

function impliedProblems({ method, who, query, body }: Route): ProblemCode[] {
  const implied: ProblemCode[] = ['internal_error']
  if (who === 'signed')
    return [
      ...implied,
      'malformed_request',
      'unauthorized',
      'payload_too_large',
      'validation_failed',
      'rate_limited',
      'store_unavailable',
    ]
  if (who === 'client') return [...implied, 'rate_limited', 'store_unavailable', 'payload_too_large']
  if (who !== 'open')
    implied.push(
      'duplicate_credential',
      'unauthorized',
      'ip_not_allowed',
      'rate_limited',
      'store_unavailable',
    )
  if (who === 'jwt' || who === 'jwt or the token itself') implied.push('token_may_not_manage')
  // Only users of the host's app can get this. They manage tokens, but never ask whether a credential is good.
  if (who !== 'open' && ['post', 'patch', 'delete'].includes(method)) implied.push('cross_origin')
  if (who === 'operator') implied.push('not_found')
  if ((who.startsWith('jwt') || who === 'operator') && method !== 'get') implied.push('read_only')
  if (query && (query as { additionalProperties?: boolean }).additionalProperties === false) {
    implied.push('validation_failed')
  }
  if (body)
    implied.push('malformed_request', 'payload_too_large', 'unsupported_media_type', 'validation_failed')
  return implied
}
