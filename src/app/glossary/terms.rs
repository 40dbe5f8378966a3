//! The terms of the window and what they mean, sorted without regard to capitals.

use super::Term;

pub(super) static TERMS: [Term; 117] = [
    Term::new(
        "agreement",
        "The share of predictions whose likeliest token is the exact lane's. It is also called top-1 agreement.",
    ),
    Term::new("all", "The retention that keeps every token until its sequence ends."),
    Term::new(
        "attention weight",
        "How much of its result a head takes from one earlier token: the softmax of query times key. The weights of \
         one query in one head add up to 1.",
    ),
    Term::new(
        "bandwidth",
        "Bytes a second that the memory delivers. Decoding one sequence reads all weights and its whole cache for \
         each token, so bandwidth is usually its limit.",
    ),
    Term::new(
        "batch",
        "Sequences that go through the model in one step. The weights are read once for all of them, a cache only \
         for its own sequence.",
    ),
    Term::new("bf16", "A float of 16 bits with the range of f32 and 8 significant bits. It halves the memory."),
    Term::new(
        "block",
        "A fixed number of slots that are given out and given back together. The blocks of a sequence may lie \
         anywhere in the pool (PagedAttention, Kwon et al. 2023).",
    ),
    Term::new(
        "block table",
        "The list of a sequence's blocks in the order of its tokens. Attention follows it to find keys and values \
         (PagedAttention, Kwon et al. 2023).",
    ),
    Term::new(
        "block tail",
        "The slots at the end of a sequence's last block that no token fills yet. A sequence wastes less than one \
         block in this way.",
    ),
    Term::new(
        "cache",
        "The keys and values of all tokens so far, kept so that a new token can be computed alone. Its full name is \
         KV cache.",
    ),
    Term::new(
        "calibration",
        "A text that is run through the model once, to find the levels that kvq stores numbers with.",
    ),
    Term::new(
        "channel",
        "One of the head_dim numbers of a key or a value, over all tokens. In keys some channels are far larger \
         than others.",
    ),
    Term::new(
        "concat",
        "The layout of naive code: each step makes a new buffer, one token longer, and copies all rows into it.",
    ),
    Term::new(
        "context",
        "The tokens that a step can attend to: the prompt and what was generated. The model's positions are the \
         most that there can be.",
    ),
    Term::new(
        "contiguous",
        "The layout with one buffer for the whole context of a sequence. It is reserved at the start and written in \
         place.",
    ),
    Term::new(
        "copied",
        "Bytes of stored rows that were moved since the lane began in its cache: by concat at every step, or by copy-on-write \
         after a fork.",
    ),
    Term::new(
        "copy-on-write",
        "Two sequences share a block until one of them writes into it. Only then does the writer get a copy of its \
         own.",
    ),
    Term::new(
        "dead",
        "Bytes of rows whose token was evicted, in blocks that are held still because another token in them lives.",
    ),
    Term::new(
        "decode",
        "The steps after prefill. Each runs the newest token through the model and yields the next one.",
    ),
    Term::new(
        "divergence",
        "The first generated token that differs from the first lane's. From there on the two texts go their own \
         ways.",
    ),
    Term::new(
        "driver",
        "The software of a GPU. What it counts as used holds weights, caches, pools and every other program.",
    ),
    Term::new(
        "eviction",
        "A token's row is given up so that the cache stays small. The model cannot attend to that token any more.",
    ),
    Term::new(
        "exact",
        "Stored as f32, without rotation, and with nothing evicted. Lanes of exact caches give the same tokens.",
    ),
    Term::new("f16", "A float of 16 bits with 11 significant bits. It halves the memory."),
    Term::new("f32", "A float of 32 bits with 24 significant bits: what the model computes with, stored as it is."),
    Term::new("f8", "A float of 8 bits with 4 significant bits (e4m3). It takes a quarter of the memory."),
    Term::new("factor", "What sums of the online softmax are multiplied by when a tile brings a larger score."),
    Term::new(
        "FlashAttention",
        "Exact attention that works through keys and values in tiles and never stores the whole matrix of scores \
         (Dao et al. 2022).",
    ),
    Term::new(
        "floor",
        "The least time that a step can take on this machine: one read of its weights and cache, or its arithmetic \
         at the processor's peak, whichever is longer.",
    ),
    Term::new(
        "forced",
        "The next token of a lane is given, whatever the lane predicted. So all lanes read the same text and can be \
         compared token by token (teacher forcing).",
    ),
    Term::new(
        "fork",
        "A second sequence that goes on from a token of the first. The blocks up to there are shared between the \
         two.",
    ),
    Term::new("format", "How a row is stored: as floats of 32, 16 or 8 bits, or quantized to fewer bits with scales."),
    Term::new(
        "formula",
        "What a textbook says that a cache takes: 2 x layers x KV heads x head_dim x bytes per number x tokens. \
         Scales, tables and unfilled slots are not in it.",
    ),
    Term::new(
        "free",
        "A lane continues from the token that it chose itself. After a first difference its text is another one.",
    ),
    Term::new("greedy", "Always takes the likeliest token. Temperature 0 means the same."),
    Term::new("group", "Numbers that share one scale: 32 neighbours in a row, or one channel over 32 tokens."),
    Term::new(
        "H2O",
        "The retention that keeps the newest tokens, and of the older ones those that got the most attention so far \
         (heavy-hitter oracle, Zhang et al. 2023).",
    ),
    Term::new(
        "h2o-mean",
        "Like H2O, but a token's attention is divided by the number of queries that could see it. Old tokens have \
         no advantage then.",
    ),
    Term::new(
        "head",
        "One of the parts of a layer that attend independently, each with its own queries. Heads of one layer can \
         look at different tokens.",
    ),
    Term::new("head_dim", "Numbers in a key, a value or a query of one head."),
    Term::new(
        "heavy hitter",
        "A token that gets much of the attention of many later queries (H2O, Zhang et al. 2023).",
    ),
    Term::new("held", "Bytes in blocks that a sequence or its forks hold, filled or not. Nobody else can use them."),
    Term::new(
        "int4",
        "A format of 4 bits a number. Every 32 numbers have a minimum and a step, so the 16 values lie between \
         minimum and maximum.",
    ),
    Term::new("int8", "A format of 8 bits a number with one scale of 32 bits for each token and head."),
    Term::new(
        "ITL",
        "Inter-token latency: the time between two generated tokens, as the caller sees it. Every token after the \
         first has one.",
    ),
    Term::new(
        "key",
        "What a token offers to the queries of later tokens. Query times key says how much attention it gets.",
    ),
    Term::new(
        "KIVI",
        "A format of 2, 4 or 8 bits: keys are quantized by channel, values by token, and the newest tokens stay \
         exact (KIVI, Liu et al. 2024).",
    ),
    Term::new(
        "KL divergence",
        "How far a lane's predicted probabilities lie from the exact lane's, in nats. 0 means that they are equal.",
    ),
    Term::new(
        "KV head",
        "A head of keys and values. Several heads of queries can share one; in GPT-2 each has its own.",
    ),
    Term::new(
        "kvq",
        "A format of 2, 3 or 4 bits with levels that were found on a text beforehand, and outliers apart. It \
         follows KVQuant.",
    ),
    Term::new(
        "KVQuant",
        "A paper on caches of few bits: keys by channel, levels that are not equal steps, and outliers stored apart \
         (Hooper et al. 2024).",
    ),
    Term::new(
        "lane",
        "One way to keep keys and values. Lanes run side by side on the same model and prompt, one token each in \
         turn.",
    ),
    Term::new(
        "layer",
        "One of the equal blocks of the model: attention and a small network. Each layer has a cache of its own.",
    ),
    Term::new("layout", "Where rows lie in memory: concat, contiguous or paged."),
    Term::new("level", "A value that a quantized number can have. With b bits there are 2 to the power of b of them."),
    Term::new(
        "live length",
        "Of a plan: users hold the blocks of the tokens that they have, on average, not those of the whole context.",
    ),
    Term::new(
        "logit lens",
        "What a model would say if it ended after this layer: the last norm and the vocabulary over its numbers (nostalgebraist 2020).",
    ),
    Term::new(
        "logits",
        "A number for each token of the vocabulary. Their softmax gives the probabilities of the next token.",
    ),
    Term::new("metadata", "What a cache keeps beside rows and scales: block tables, free lists, and counts."),
    Term::new("mine", "The lane of a learner's own cache. A lab registers it and opens the window with it."),
    Term::new("nats", "The unit of KL divergence with the natural logarithm. One nat is 1.44 bits."),
    Term::new("none", "The lane without a cache. Every token runs the model over everything before it."),
    Term::new("norm", "The length of a row of numbers: the root of the sum of their squares."),
    Term::new(
        "online softmax",
        "A softmax that is computed piece by piece with a running maximum and sum, so that the scores are never \
         stored as a whole (Milakov and Gimelshein 2018).",
    ),
    Term::new(
        "outlier",
        "A number far larger than its neighbours. It stretches the range of its group, so that the others lose \
         digits.",
    ),
    Term::new("p50", "The median: half of the values are at most this."),
    Term::new("p99", "The 99th percentile: 99 of 100 values are at most this."),
    Term::new(
        "paged",
        "The layout with blocks of a fixed number of tokens from a pool, found through a block table \
         (PagedAttention, Kwon et al. 2023).",
    ),
    Term::new(
        "PagedAttention",
        "Keys and values in blocks that need not be neighbours, as pages of virtual memory. It is from the paper on \
         vLLM (Kwon et al. 2023).",
    ),
    Term::new("percentile", "Of p99: the value that 99 of 100 measurements do not exceed. The median is p50."),
    Term::new(
        "perplexity",
        "How many equally likely tokens the model hesitates between on average: exp of the mean negative log \
         likelihood. Lower is better.",
    ),
    Term::new("pool", "All blocks of a lane, free and held. Sequences take blocks from it and give them back."),
    Term::new(
        "position",
        "The place of a token in its sequence, from 0. GPT-2 learned a vector for each position, so a stored key \
         belongs to its place.",
    ),
    Term::new(
        "prefill",
        "The first step: the whole prompt runs through the model at once and fills the cache. It yields the first \
         token.",
    ),
    Term::new(
        "prefill chunk",
        "A part of the prompt that is run at once. Smaller chunks need less memory at a time and more passes.",
    ),
    Term::new("prompt", "The text that a lane begins with. Generated tokens come after it."),
    Term::new("q4_0", "A format of llama.cpp: 4 bits a number and a scale of 16 bits for every 32 numbers."),
    Term::new("q8_0", "A format of llama.cpp: 8 bits a number and a scale of 16 bits for every 32 numbers."),
    Term::new(
        "quantization",
        "Storing a number as one of a few levels. It saves memory, and what is read back is not quite what was \
         stored.",
    ),
    Term::new(
        "query",
        "What a token looks for in the keys of earlier tokens. It is used once and not kept in the cache.",
    ),
    Term::new(
        "recall",
        "The share of facts of a story that a lane's likeliest token still gets right, by the number of tokens \
         since the fact was last mentioned.",
    ),
    Term::new(
        "record",
        "What was measured of one step of one lane: times, bytes and the token. Everything in the window is drawn \
         from records.",
    ),
    Term::new(
        "rehearsal",
        "A token runs once untimed before it is timed. So the processor's caches are warm, as they would be if the \
         lane ran alone.",
    ),
    Term::new("reserved", "Bytes allocated for keys, values and scales, whether anything is in them or not."),
    Term::new(
        "residual",
        "The newest tokens, which a format keeps exact until a whole group of them can be quantized (KIVI, Liu et \
         al. 2024).",
    ),
    Term::new("retention", "Which tokens stay in the cache: all, a window, or those that got the most attention."),
    Term::new(
        "roofline",
        "A chart of the speed that bandwidth and arithmetic allow at most, by operations per byte (Williams, \
         Waterman and Patterson 2009).",
    ),
    Term::new("rot", "The part of a lane that rotates its rows before they are stored. It goes with every format."),
    Term::new(
        "rotation",
        "Rows are multiplied by a Hadamard matrix, so that no channel stands out and few bits lose less. Queries \
         are rotated too, so exact attention would not change (QuaRot, Ashkboos et al. 2024).",
    ),
    Term::new("row", "The key or the value of one token in one layer, over all heads."),
    Term::new(
        "sampling",
        "How the next token is picked from the probabilities: greedy, or at random with temperature, top-k and \
         top-p.",
    ),
    Term::new("scale", "A number that is stored beside quantized ones and says how large they are."),
    Term::new("seed", "The number that random choices start from. The same seed gives the same choices."),
    Term::new("seq_len", "The tokens of a sequence so far, prompt included."),
    Term::new(
        "sequence",
        "One text in a cache: the prompt and what was generated after it. A fork is a sequence of its own.",
    ),
    Term::new(
        "sink",
        "One of the first tokens of a text. Heads put attention there that they have no use for, so a window keeps \
         them (StreamingLLM, Xiao et al. 2023).",
    ),
    Term::new("slot", "The place of one token in a block."),
    Term::new("softmax", "Turns scores into weights that are positive and add up to 1."),
    Term::new(
        "standard error",
        "How far a mean would scatter if it were measured again on other tokens. A difference of less than twice that may be chance.",
    ),
    Term::new(
        "StreamingLLM",
        "A cache of constant size: the first tokens as sinks, and a window of the newest (Xiao et al. 2023).",
    ),
    Term::new(
        "temperature",
        "Divides the logits before the softmax. Below 1 likely tokens become likelier, above 1 less so; 0 is \
         greedy.",
    ),
    Term::new("throughput", "Tokens a second of all sequences together."),
    Term::new("tile", "A run of tokens whose keys and values the online softmax takes in at once."),
    Term::new("token", "A piece of text, a word or a part of one, that the model reads and writes as a number."),
    Term::new("top-k", "Sampling takes only the k likeliest tokens into account."),
    Term::new(
        "top-p",
        "Sampling takes only the likeliest tokens that together have this probability. It is also called nucleus \
         sampling (Holtzman et al. 2019).",
    ),
    Term::new(
        "TPOT",
        "Time per output token: (end to end - TTFT) / (n - 1), the mean over all tokens after the first.",
    ),
    Term::new(
        "trace",
        "The file of a run with everything that the window draws of it. It can be shown again without the model.",
    ),
    Term::new("TTFT", "Time to first token: the prefill and the sampling of the first token."),
    Term::new("unused", "Bytes that were reserved at the start and that nobody holds."),
    Term::new("used", "Bytes filled with rows and scales of tokens that are alive."),
    Term::new("value", "What a token passes on to those that attend to it, weighted by their attention."),
    Term::new("vocabulary", "All tokens that a model knows, each with a number."),
    Term::new(
        "warm-up",
        "Work until a step takes what all later ones take: memory is mapped and caches are filled. The plot marks the first decode \
         step, which is in all numbers unless it is left out.",
    ),
    Term::new(
        "weights",
        "The numbers that the model was trained to. They stay as they are, and every step reads them.",
    ),
    Term::new(
        "window",
        "The retention that keeps the first tokens as sinks and the newest ones, and evicts what lies between \
         (StreamingLLM, Xiao et al. 2023).",
    ),
    Term::new("worst case", "Of a plan: every user holds the whole context."),
];
