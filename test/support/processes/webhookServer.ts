import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'

/** A webhook that came and was verified. */
export interface Received {
  id: string
  type: string
  tokenId: string
  revision: number
  body: { type: string; timestamp: string; data: Record<string, unknown> }
  headers: IncomingHttpHeaders
}

/** What is done with a webhook: a status, which may have headers, or no answer. */
export type Behaviour = number | { status: number; headers: Record<string, string> } | 'hang' | 'close'

export interface WebhookServer {
  url: string
  /** All that came, in order, and those of them that were answered with 200. */
  received: Received[]
  taken: Received[]
  /** What was wrong with requests that could not be verified. */
  problems: string[]
  behave: (webhook: Received, n: number) => Behaviour
  close(): Promise<void>
}

export const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 9).toString('base64')}`

/** A receiver of webhooks that verifies them with the specification's own library, and behaves as it is told. */
export async function startWebhookServer(secret = WEBHOOK_SECRET): Promise<WebhookServer> {
  const verifier = new Webhook(secret)

  function answer(response: ServerResponse, behaviour: Behaviour): void {
    if (behaviour === 'hang') return
    if (behaviour === 'close') return void response.destroy()
    const { status, headers } = typeof behaviour === 'number' ? { status: behaviour, headers: {} } : behaviour
    response.writeHead(status, headers).end('{}')
  }

  const server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      const text = Buffer.concat(parts).toString()
      try {
        const body = verifier.verify(text, request.headers as Record<string, string>) as Received['body']
        const { token_id: tokenId, revision } = body.data as { token_id: string; revision: number }
        const { headers } = request
        const received = {
          id: String(headers['webhook-id']),
          type: body.type,
          tokenId,
          revision,
          body,
          headers,
        }
        self.received.push(received)
        const behaviour = self.behave(received, self.received.length)
        if (behaviour === 200) self.taken.push(received)
        answer(response, behaviour)
      } catch (error) {
        self.problems.push(`${(error as Error).message}: ${text.slice(0, 200)}`)
        response.writeHead(400).end()
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const self: WebhookServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks?from=tests`,
    received: [],
    taken: [],
    problems: [],
    behave: () => 200,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return self
}
