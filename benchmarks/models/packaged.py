"""Models by the sources of their own packages (`scripts/model-packages`), as a user calls them: tensors in, tensors out."""
from torch import nn


def digit_cnn():
    from digit_recognizer.model import CNN
    return CNN()


def resnet18():
    from torchvision.models.resnet import resnet18
    return resnet18(weights=None)


def mobilenet_v3_small():
    from torchvision.models.mobilenetv3 import mobilenet_v3_small
    return mobilenet_v3_small(weights=None)


def vit():
    from torchvision.models.vision_transformer import VisionTransformer
    return VisionTransformer(image_size=32, patch_size=8, num_layers=3, num_heads=4, hidden_dim=64, mlp_dim=128, num_classes=10)


class PicoGPT(nn.Module):
    def __init__(self):
        super().__init__()
        from picogpt.model import TinyGPT
        self.model = TinyGPT(V=65, n_embd=64, n_head=4, n_layer=3, block_size=64, dropout=0.0, rope_base=10000.0)

    def forward(self, tokens, targets):
        return self.model(tokens, targets)


class MiniLM(nn.Module):
    def __init__(self):
        super().__init__()
        from transformers.models.bert.configuration_bert import BertConfig
        from transformers.models.bert.modeling_bert import BertModel
        self.model = BertModel(BertConfig(vocab_size=30522, hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
                                          intermediate_size=1536, max_position_embeddings=512, type_vocab_size=2))

    def forward(self, tokens, mask):
        return self.model(tokens, attention_mask=mask).last_hidden_state


class GPT2(nn.Module):
    def __init__(self):
        super().__init__()
        from transformers.models.gpt2.configuration_gpt2 import GPT2Config
        from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel
        self.model = GPT2LMHeadModel(GPT2Config(vocab_size=257, n_positions=128, n_embd=64, n_layer=3, n_head=4))

    def forward(self, tokens):
        return self.model(tokens).logits


class Llama(nn.Module):
    def __init__(self):
        super().__init__()
        from transformers.models.llama.configuration_llama import LlamaConfig
        from transformers.models.llama.modeling_llama import LlamaForCausalLM
        self.model = LlamaForCausalLM(LlamaConfig(vocab_size=257, hidden_size=64, intermediate_size=172, num_hidden_layers=3,
                                                  num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128))

    def forward(self, tokens):
        return self.model(tokens).logits


def onet():
    from facenet_pytorch.models.mtcnn import ONet
    return ONet(pretrained=False)


def resemblyzer():
    from resemblyzer.voice_encoder import VoiceEncoder
    return VoiceEncoder(device="cpu", verbose=False)


def crepe():
    from torchcrepe.model import Crepe
    return Crepe("tiny")


def efficientnet_lite():
    from efficientnet_lite_pytorch.model import EfficientNet
    return EfficientNet.from_name("efficientnet-lite0")


def vit_pytorch():
    from vit_pytorch.vit import ViT
    return ViT(image_size=32, patch_size=8, num_classes=10, dim=64, depth=3, heads=4, mlp_dim=128)


def convnext():
    from timm.models.convnext import convnext_atto
    return convnext_atto(num_classes=10)


def unet():
    from segmentation_models_pytorch import Unet
    return Unet(encoder_name="resnet18", encoder_weights=None, classes=3)


def wav2letter():
    from torchaudio.models.wav2letter import Wav2Letter
    return Wav2Letter(num_classes=29, input_type="waveform", num_features=1)
