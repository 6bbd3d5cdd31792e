/** fetch towards a provider, with an end to what it reads: discovery documents, keys and tokens are small. */

const MOST_BYTES = 256 * 1024

/** The answer, read to its end. Redirects are not followed. @throws {TypeError} when the body is larger than 256 KiB. */
export async function cappedFetch(url: string, options: RequestInit): Promise<Response> {
  const answer = await fetch(url, { ...options, redirect: 'manual' })
  if (answer.body === null) return answer
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of answer.body) {
    length += chunk.byteLength
    if (length > MOST_BYTES) throw new TypeError('the answer is too large')
    chunks.push(chunk)
  }
  const { status, statusText, headers } = answer
  return new Response(status === 204 || status === 304 ? null : Buffer.concat(chunks), { status, statusText, headers })
}
