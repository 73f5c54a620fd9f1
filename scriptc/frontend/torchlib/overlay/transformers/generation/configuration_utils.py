from transformers.generation import CompileConfig, GenerationConfig, GenerationMode
